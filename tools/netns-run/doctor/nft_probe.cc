// SPDX-License-Identifier: BSD-3-Clause
// Each batch holds one thing, so that each refusal is told; what the agent needs is one batch (netlink/steering.h).
#include "tools/netns-run/doctor/nft_probe.h"

#include <linux/netlink.h>

#include <functional>

#include "src/netlink/nftables.h"

namespace nh::run {

namespace {

constexpr const char* table_name = "netns-doctor";

std::vector<std::function<void(nft::Batch&)>> pieces(Family family) {
  using nft::Batch;
  using nft::Expressions;
  constexpr std::uint32_t bit = 1u << 28;
  return {[](Batch& batch) { batch.add_table(); },
          [](Batch& batch) { batch.add_chain("out", Batch::Hook::output); },
          [](Batch& batch) { batch.add_chain("pre", Batch::Hook::prerouting); },
          [](Batch& batch) { batch.add_address_set("tap"); },
          [](Batch& batch) {
            batch.add_rule("out", "meta mark and ct mark", [](Expressions& e) {
              e.load_mark();
              e.bits(bit, 0);
              e.equal(bit);
              e.load_connection_mark();
              e.bits(~bit, bit);
              e.store_connection_mark();
              e.accept();
            });
          },
          [](Batch& batch) {
            batch.add_rule("out", "tcp flags and meta mark set", [](Expressions& e) {
              e.load_transport();
              e.equal(6);  // IPPROTO_TCP
              e.load_tcp_flags();
              e.equal(2);
              e.load_mark();
              e.bits(~bit, bit);
              e.store_mark();
            });
          },
          [family](Batch& batch) {
            batch.add_rule("pre", "socket transparent", [family](Expressions& e) {
              e.load_source(family);
              e.in_set("tap");
              e.load_socket_transparent();
              e.equal(1);
            });
          }};
}

}  // namespace

Result<std::vector<std::string>> try_nf_tables() {
  NH_LET(socket, NlSocket::connect(NETLINK_NETFILTER));
  std::vector<std::string> refused;
  for (const Family family : {Family::v4, Family::v6}) {
    bool table = true;
    for (const auto& add : pieces(family)) {
      nft::Batch batch(family, table_name);
      add(batch);
      const auto taken = batch.commit(socket);
      if (!taken) {
        if (table && family == Family::v4) return taken.error();
        refused.push_back(taken.error().message());
        if (table) break;  // nothing else could be in it
      }
      table = false;
    }
  }
  return refused;
}

}  // namespace nh::run
