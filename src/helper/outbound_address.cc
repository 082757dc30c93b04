// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/outbound_address.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstring>
#include <memory>

#include "src/base/unique_fd.h"

namespace nh {
namespace {

std::string family_name(Family family) {
  return family == Family::v4 ? "IPv4" : "IPv6";
}

// An address that nobody can bind would make every connection fail later, and each with an obscure error.
Result<> check_bindable(const Address& address, const std::string& option) {
  const UniqueFd probe(socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const SockAddr local(Endpoint{address, 0});
  if (probe && bind(probe.get(), local.get(), local.length) == 0) return Ok{};
  Error error = sys_error("--" + option + ": using " + address.text() + " as the source of connections");
  error.field = option;
  return error;
}

}  // namespace

Result<std::optional<Address>> outbound_address(const std::string& text, Family family, const std::string& option,
                                                bool may_come) {
  if (text.empty()) return std::optional<Address>();
  if (auto address = Address::parse(text)) {
    if (address->family() != family)
      return Error{
          .code = Code::invalid,
          .what = "--" + option + " must be an " + family_name(family) + " address or an interface, not \"" + text + "\"",
          .field = option};
    if (!may_come) NH_TRY(check_bindable(*address, option));
    return std::optional<Address>(*address);
  }
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return sys_error("listing the host's addresses for --" + option);
  const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (text != entry->ifa_name || entry->ifa_addr == nullptr) continue;
    SockAddr address;
    const int entry_family = entry->ifa_addr->sa_family;
    if (entry_family != AF_INET && entry_family != AF_INET6) continue;
    std::memcpy(&address.storage, entry->ifa_addr, entry_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6));
    const auto endpoint = address.endpoint();
    // A link-local address reaches nothing beyond its link, and needs a scope that libslirp does not give it.
    if (endpoint && endpoint.value().address.family() == family && !endpoint.value().address.is_link_local())
      return std::optional<Address>(endpoint.value().address);
  }
  const bool exists = if_nametoindex(text.c_str()) != 0;
  return Error{.code = exists ? Code::missing : Code::invalid,
               .what = exists ? "--" + option + ": interface " + text + " has no " + family_name(family) + " address"
                              : "--" + option + ": \"" + text + "\" is neither an " + family_name(family) +
                                    " address nor an interface of this host",
               .field = option};
}

}  // namespace nh
