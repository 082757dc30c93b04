// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/host_networks.h"

#include <linux/rtnetlink.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "src/netlink/nl_socket.h"

namespace nh {
namespace {

constexpr std::size_t most = 4096;
constexpr unsigned shortest_prefix = 8;

int on_route(nl_msg* message, void* context) noexcept {
  auto& found = *static_cast<std::vector<Cidr>*>(context);
  nlmsghdr* header = nlmsg_hdr(message);
  std::array<nlattr*, RTA_MAX + 1> attributes{};
  if (found.size() == most || header->nlmsg_type != RTM_NEWROUTE ||
      nlmsg_parse(header, sizeof(rtmsg), attributes.data(), RTA_MAX, nullptr) < 0)
    return NL_OK;
  const auto* info = static_cast<const rtmsg*>(nlmsg_data(header));
  const nlattr* destination = attributes[RTA_DST];
  if ((info->rtm_type != RTN_UNICAST && info->rtm_type != RTN_LOCAL) || destination == nullptr ||
      info->rtm_dst_len < shortest_prefix)
    return NL_OK;
  const auto length = static_cast<std::size_t>(nla_len(destination));
  if ((info->rtm_family != AF_INET || length != 4) && (info->rtm_family != AF_INET6 || length != 16)) return NL_OK;
  const Address address = Address::from_bytes(Bytes(static_cast<const std::uint8_t*>(nla_data(destination)), length));
  if (!address.is_loopback() && !address.is_link_local() && !address.is_multicast())
    found.push_back(Cidr::of(address, info->rtm_dst_len));
  return NL_OK;
}

std::vector<Cidr> candidates(const Cidr& preferred) {
  std::vector<Cidr> all{preferred};
  if (preferred.family() == Family::v6) {
    for (std::uint8_t subnet = 1; subnet != 0; ++subnet) {
      std::array<std::uint8_t, 16> bytes{0xfd, 0, 0, 0, 0, 0, 0, subnet};
      all.push_back(Cidr::of(Address::from_bytes(bytes), 64));
    }
    return all;
  }
  const auto add = [&all](unsigned first, unsigned second, unsigned third) {
    all.push_back(Cidr::of(Address::v4(first << 24 | second << 16 | third << 8), 24));
  };
  for (unsigned third = 3; third < 255; ++third) add(10, 0, third);
  for (unsigned third = 0; third < 256; ++third) add(172, 30, third);
  for (unsigned third = 255; third > 0; --third) add(192, 168, third);
  for (unsigned second = 18; second < 20; ++second)
    for (unsigned third = 0; third < 256; ++third) add(198, second, third);
  return all;
}

}  // namespace

Result<std::vector<Cidr>> host_networks() {
  const std::string step = "listing the host's routes";
  NH_LET(netlink, NlSocket::connect());
  for (int attempt = 0; attempt < 3; ++attempt) {
    std::vector<Cidr> found;
    rtmsg request{};
    request.rtm_family = AF_UNSPEC;
    int result = nl_send_simple(netlink.get(), RTM_GETROUTE, NLM_F_DUMP, &request, sizeof request);
    if (result >= 0) {
      nl_socket_modify_cb(netlink.get(), NL_CB_VALID, NL_CB_CUSTOM, &on_route, &found);
      result = nl_recvmsgs_default(netlink.get());
    }
    if (result == -NLE_DUMP_INTR) continue;  // something changed meanwhile: once more
    NH_TRY(netlink.check(result, step));
    return found;
  }
  return sys_error(EAGAIN, step + ": they change all the time");
}

std::optional<Cidr> overlapping(std::span<const Cidr> networks, const Cidr& network) {
  const auto found = std::find_if(networks.begin(), networks.end(), [&network](const Cidr& one) {
    return one.family() == network.family() && (one.contains(network.network()) || network.contains(one.network()));
  });
  return found == networks.end() ? std::nullopt : std::optional(*found);
}

Cidr free_network(const Cidr& preferred, std::span<const Cidr> used) {
  for (const Cidr& candidate : candidates(preferred))
    if (!overlapping(used, candidate)) return candidate;
  return preferred;
}

}  // namespace nh
