// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/address.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

namespace nh {

namespace {

std::string text_of(const InterfaceAddress& address) {
  return address.address.text() + "/" + std::to_string(address.prefix);
}

Result<RtAddr> object_for(int ifindex, const InterfaceAddress& address) {
  const NlAddr local = nl_address(address.address, address.prefix);
  RtAddr object(rtnl_addr_alloc());
  if (!local || !object) return sys_error(ENOMEM, "describing an address");
  rtnl_addr_set_ifindex(object.get(), ifindex);
  rtnl_addr_set_local(object.get(), local.get());
  return object;
}

/// What a dump is collected into.
struct Collector {
  int ifindex;
  std::size_t most;
  AddressList* list;
};

std::optional<Address> address_in(const nlattr* attribute, int family) {
  const auto length = static_cast<std::size_t>(nla_len(attribute));
  if (family != AF_INET && family != AF_INET6) return std::nullopt;
  if (length != (family == AF_INET ? 4U : 16U)) return std::nullopt;
  return Address::from_bytes(Bytes(static_cast<const std::uint8_t*>(nla_data(attribute)), length));
}

int on_address(nl_msg* message, void* context) noexcept {
  const auto& collector = *static_cast<Collector*>(context);
  nlmsghdr* header = nlmsg_hdr(message);
  std::array<nlattr*, IFA_MAX + 1> attributes{};
  if (header->nlmsg_type != RTM_NEWADDR || nlmsg_parse(header, sizeof(ifaddrmsg), attributes.data(), IFA_MAX, nullptr) < 0)
    return NL_OK;
  const auto* info = static_cast<const ifaddrmsg*>(nlmsg_data(header));
  if (static_cast<int>(info->ifa_index) != collector.ifindex) return NL_OK;
  // On a point-to-point address IFA_ADDRESS is the far end's; IFA_LOCAL, where it is given, is always ours.
  const nlattr* attribute = attributes[IFA_LOCAL] != nullptr ? attributes[IFA_LOCAL] : attributes[IFA_ADDRESS];
  if (attribute == nullptr) return NL_OK;
  const auto address = address_in(attribute, info->ifa_family);
  if (!address) return NL_OK;
  const std::uint32_t flags = attributes[IFA_FLAGS] != nullptr ? nla_get_u32(attributes[IFA_FLAGS]) : info->ifa_flags;
  std::vector<InterfaceAddress>& found = collector.list->addresses;
  if (found.size() == collector.most) {
    collector.list->more = true;
    return NL_OK;
  }
  found.push_back({.address = *address,
                   .prefix = info->ifa_prefixlen,
                   .tentative = (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0 && (flags & IFA_F_OPTIMISTIC) == 0});
  return NL_OK;
}

}  // namespace

Result<AddressList> list_addresses(NlSocket& netlink, int ifindex, std::size_t most) {
  const std::string step = "listing addresses";
  for (int attempt = 0; attempt < 3; ++attempt) {
    AddressList list;
    Collector collector{.ifindex = ifindex, .most = most, .list = &list};
    ifaddrmsg request{};
    request.ifa_family = AF_UNSPEC;  // all families, each in turn (rtnl_dump_all() in net/core/rtnetlink.c)
    request.ifa_index = static_cast<unsigned>(ifindex);  // honoured by kernels with strict checking on, else filtered above
    int result = nl_send_simple(netlink.get(), RTM_GETADDR, NLM_F_DUMP, &request, sizeof request);
    if (result >= 0) {
      nl_socket_modify_cb(netlink.get(), NL_CB_VALID, NL_CB_CUSTOM, &on_address, &collector);
      result = nl_recvmsgs_default(netlink.get());
      nl_socket_modify_cb(netlink.get(), NL_CB_VALID, NL_CB_DEFAULT, nullptr, nullptr);
    }
    if (result == -NLE_DUMP_INTR) continue;  // something changed meanwhile: once more
    NH_TRY(netlink.check(result, step));
    return list;
  }
  return sys_error(EAGAIN, step + ": they change all the time");
}

Result<> add_address(NlSocket& netlink, int ifindex, const InterfaceAddress& address, UndoLog& undo) {
  const std::string step = "adding address " + text_of(address);
  NH_LET(object, object_for(ifindex, address));
  if (address.address.is_v4() && address.prefix < 31) {
    const NlAddr broadcast = nl_address(Cidr::of(address.address, address.prefix).last());
    if (!broadcast || rtnl_addr_set_broadcast(object.get(), broadcast.get()) < 0) return sys_error(ENOMEM, step);
  }
  if (address.address.is_v6()) rtnl_addr_set_flags(object.get(), IFA_F_NODAD);

  int result = rtnl_addr_add(netlink.get(), object.get(), 0);
  if (result == -NLE_EXIST) {
    netlink.take_errno();
    NH_LET(present, list_addresses(netlink, ifindex, SIZE_MAX));
    const bool tentative = std::any_of(present.addresses.begin(), present.addresses.end(), [&](const InterfaceAddress& a) {
      return a.address == address.address && a.tentative;
    });
    if (!tentative) return Ok{};
    NH_TRY(remove_address(netlink, ifindex, address));
    result = rtnl_addr_add(netlink.get(), object.get(), 0);
  }
  NH_TRY(netlink.check(result, step));
  undo.add([&netlink, ifindex, address] { return remove_address(netlink, ifindex, address); });
  return Ok{};
}

Result<> remove_address(NlSocket& netlink, int ifindex, const InterfaceAddress& address) {
  NH_LET(object, object_for(ifindex, address));
  const int result = rtnl_addr_delete(netlink.get(), object.get(), 0);
  if (result == -NLE_NOADDR) {
    netlink.take_errno();
    return Ok{};
  }
  return netlink.check(result, "removing address " + text_of(address));
}

}  // namespace nh
