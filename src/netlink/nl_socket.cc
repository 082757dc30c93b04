// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/nl_socket.h"

#include <cerrno>

namespace nh {

Result<NlSocket> NlSocket::connect(int protocol) {
  NlSocket netlink;
  netlink.socket_.reset(nl_socket_alloc());
  if (!netlink.socket_) return sys_error(ENOMEM, "making a netlink socket");
  netlink.kernel_errno_ = std::make_unique<int>(0);
  nl_socket_modify_err_cb(netlink.get(), NL_CB_CUSTOM, &NlSocket::on_error, netlink.kernel_errno_.get());
  nl_socket_modify_cb(netlink.get(), NL_CB_MSG_IN, NL_CB_CUSTOM, &NlSocket::on_message, nullptr);
  NH_TRY(netlink.check(nl_connect(netlink.get(), protocol), "connecting a netlink socket"));
  return netlink;
}

int NlSocket::on_error(sockaddr_nl*, nlmsgerr* error, void* kernel_errno) noexcept {
  *static_cast<int*>(kernel_errno) = -error->error;
  return NL_STOP;
}

int NlSocket::on_message(nl_msg* message, void*) noexcept {
  return nlmsg_get_src(message)->nl_pid == 0 ? NL_OK : NL_SKIP;
}

int NlSocket::take_errno() {
  return std::exchange(*kernel_errno_, 0);
}

Result<> NlSocket::check(int libnl_result, const std::string& step) {
  const int err = take_errno();
  if (libnl_result >= 0) return Ok{};
  return sys_error(err, step + ": " + nl_geterror(libnl_result));
}

NlAddr nl_address(const Address& address) {
  return nl_address(address, address.is_v4() ? 32 : 128);
}

NlAddr nl_address(const Address& address, unsigned prefix) {
  NlAddr built(nl_addr_build(address.is_v4() ? AF_INET : AF_INET6, address.bytes().data(), address.bytes().size()));
  if (built) nl_addr_set_prefixlen(built.get(), static_cast<int>(prefix));
  return built;
}

NlAddr nl_address(const MacAddress& mac) {
  return NlAddr(nl_addr_build(AF_LLC, mac.bytes.data(), mac.bytes.size()));
}

}  // namespace nh
