// SPDX-License-Identifier: BSD-3-Clause
#include "src/netlink/neighbour.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <vector>

namespace nh {

namespace {

Result<RtNeigh> object_for(int ifindex, const Address& address, const MacAddress* mac) {
  const NlAddr destination = nl_address(address);
  RtNeigh object(rtnl_neigh_alloc());
  if (!destination || !object) return sys_error(ENOMEM, "describing a neighbour");
  rtnl_neigh_set_ifindex(object.get(), ifindex);
  rtnl_neigh_set_dst(object.get(), destination.get());
  rtnl_neigh_set_state(object.get(), NUD_PERMANENT);
  if (mac != nullptr) {
    const NlAddr hardware = nl_address(*mac);
    if (!hardware) return sys_error(ENOMEM, "describing a neighbour");
    rtnl_neigh_set_lladdr(object.get(), hardware.get());
  }
  return object;
}

bool has_mac(rtnl_neigh* entry, const MacAddress& mac) {
  const nl_addr* held = rtnl_neigh_get_lladdr(entry);
  return held != nullptr && nl_addr_get_len(held) == mac.bytes.size() &&
         std::memcmp(nl_addr_get_binary_addr(held), mac.bytes.data(), mac.bytes.size()) == 0;
}

/// The permanent entry that `address` has now, or none.
Result<RtNeigh> permanent_entry(NlSocket& netlink, int ifindex, const Address& address) {
  nl_cache* cache = nullptr;
  NH_TRY(netlink.check(rtnl_neigh_alloc_cache(netlink.get(), &cache), "listing neighbours"));
  const NlCache owner(cache);
  const NlAddr destination = nl_address(address);
  if (!destination) return sys_error(ENOMEM, "listing neighbours");
  RtNeigh found(rtnl_neigh_get(cache, ifindex, destination.get()));
  if (found && (rtnl_neigh_get_state(found.get()) & NUD_PERMANENT) == 0) found.reset();
  return found;
}

}  // namespace

Result<> add_neighbour(NlSocket& netlink, int ifindex, const Address& address, const MacAddress& mac, UndoLog& undo) {
  const std::string step = "adding the permanent neighbour " + address.text() + " (" + mac.text() + ")";
  NH_LET(entry, object_for(ifindex, address, &mac));
  int result = rtnl_neigh_add(netlink.get(), entry.get(), NLM_F_CREATE | NLM_F_EXCL);
  std::shared_ptr<rtnl_neigh> former;
  if (result == -NLE_EXIST) {
    netlink.take_errno();
    NH_LET(present, permanent_entry(netlink, ifindex, address));
    if (present && has_mac(present.get(), mac)) return Ok{};
    former = std::move(present);
    result = rtnl_neigh_add(netlink.get(), entry.get(), NLM_F_CREATE | NLM_F_REPLACE);
  }
  NH_TRY(netlink.check(result, step));
  undo.add([&netlink, ifindex, address, former]() -> Result<> {
    const std::string undo_step = "restoring the neighbour " + address.text();
    if (former) return netlink.check(rtnl_neigh_add(netlink.get(), former.get(), NLM_F_CREATE | NLM_F_REPLACE), undo_step);
    NH_LET(gone, object_for(ifindex, address, nullptr));
    return netlink.check(rtnl_neigh_delete(netlink.get(), gone.get(), 0), undo_step);
  });
  return Ok{};
}

Result<> keep_neighbours(NlSocket& netlink, int ifindex, UndoLog& undo) {
  nl_cache* cache = nullptr;
  NH_TRY(netlink.check(rtnl_neigh_alloc_cache(netlink.get(), &cache), "listing neighbours"));
  const NlCache owner(cache);
  std::vector<std::shared_ptr<rtnl_neigh>> kept;
  for (nl_object* object = nl_cache_get_first(cache); object != nullptr; object = nl_cache_get_next(object)) {
    auto* entry = reinterpret_cast<rtnl_neigh*>(object);
    if (rtnl_neigh_get_ifindex(entry) != ifindex || (rtnl_neigh_get_state(entry) & NUD_PERMANENT) == 0) continue;
    nl_object_get(object);
    kept.emplace_back(entry, rtnl_neigh_put);
  }
  undo.add([&netlink, kept = std::move(kept)]() -> Result<> {
    for (const auto& entry : kept)
      NH_TRY(
          netlink.check(rtnl_neigh_add(netlink.get(), entry.get(), NLM_F_CREATE | NLM_F_REPLACE), "restoring a neighbour"));
    return Ok{};
  });
  return Ok{};
}

}  // namespace nh
