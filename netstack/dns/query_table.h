// SPDX-License-Identifier: BSD-3-Clause
// QueryTable: the pending queries.
//
// The first resolver is asked. If it is silent for limits::dns_try the next one is asked too, and the first good answer counts.
// If it cannot be reached, or answers SERVFAIL, NOTIMP or REFUSED (as res_send(3) of glibc has it), the next one is asked at once.
// When all have been asked, the silent ones are asked again (UDP). When none is left, or after limits::dns_give_up, the query ends
// with the last answer of a resolver, else with a SERVFAIL of ours. ResolverOptions can shorten both times, and replace UDP by TCP.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <unordered_map>
#include <vector>

#include "netstack/dns/resolver_list.h"
#include "netstack/dns/resolver_socket.h"
#include "src/base/clock.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct QueryTableSetup {
  EpollSet* epoll;
  const Clock* clock;
  ResolverList* resolvers;
  std::uint16_t port = 53;
  std::optional<Address> outbound4 = {}, outbound6 = {};
};

class QueryTable {
 public:
  /// `answer` has the query's id and is valid during the call; `good` is false for SERVFAIL, NOTIMP and REFUSED. Called once, never
  /// from within ask().
  using Done = std::function<void(std::uint64_t number, Bytes answer, bool good)>;

  explicit QueryTable(const QueryTableSetup& setup);
  ~QueryTable();
  QueryTable(const QueryTable&) = delete;
  QueryTable& operator=(const QueryTable&) = delete;

  /// Asks a query (dns::is_query) over `via`. nullopt: limits::dns_queries or dns_query_bytes are reached.
  std::optional<std::uint64_t> ask(Via via, Bytes query, Done done);
  /// Forgets a query; its `done` is not called.
  void cancel(std::uint64_t number);

  Instant next_deadline() const;
  void expire();

  std::size_t under_way() const { return queries_.size(); }
  std::uint64_t resolver_failures() const { return resolver_failures_; }
  std::uint64_t answers_ignored() const { return answers_ignored_; }

 private:
  struct Query;
  void ask_next(Query& query);
  bool ask_one(Query& query, const NameServer& server);
  void resolver_failed(const NameServer& server);
  void go_on(Query& query, ResolverSocket& done_with);
  void finish(Query& query, MutableBytes answer, bool good);
  void give_up(Query& query);
  void set_deadline(Query& query, Instant deadline);
  std::unique_ptr<Query> take_out(std::uint64_t number);

  QueryTableSetup setup_;
  RandomIds ids_;
  std::unordered_map<std::uint64_t, std::unique_ptr<Query>> queries_;
  std::set<std::pair<Instant, std::uint64_t>> deadlines_;  // one a query
  std::uint64_t last_number_ = 0;
  std::size_t bytes_ = 0;
  std::uint64_t resolver_failures_ = 0, answers_ignored_ = 0;
};

}  // namespace nh
