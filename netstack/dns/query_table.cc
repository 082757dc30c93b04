// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/dns/query_table.h"

#include <algorithm>

#include "netstack/dns/message.h"
#include "src/base/limits.h"
#include "src/base/log.h"

namespace nh {

struct QueryTable::Query final : ResolverSocket::Owner {
  Query(QueryTable& owner, std::uint64_t its_number, Via its_via, Bytes query, Done its_done)
      : table(owner), number(its_number), via(its_via), message(query.begin(), query.end()), done(std::move(its_done)) {}

  void on_answer(ResolverSocket& socket, MutableBytes answer) override {
    table.setup_.resolvers->answered(socket.server());
    const dns::Rcode rcode = dns::rcode(answer);
    const bool refused =
        rcode == dns::Rcode::server_failure || rcode == dns::Rcode::not_implemented || rcode == dns::Rcode::refused;
    if (!refused) return table.finish(*this, answer, true);
    refusal.assign(answer.begin(), answer.end());
    ++table.resolver_failures_;
    table.go_on(*this, socket);
  }
  void on_failure(ResolverSocket& socket) override {
    table.resolver_failed(socket.server());
    table.go_on(*this, socket);
  }
  void on_ignored_answer() override { ++table.answers_ignored_; }

  QueryTable& table;
  std::uint64_t number;
  Via via;
  std::vector<std::uint8_t> message;
  Done done;
  std::vector<NameServer> order;
  std::size_t next = 0;                                ///< of order
  std::vector<std::unique_ptr<ResolverSocket>> asked;  ///< those that may still answer
  std::vector<std::uint8_t> refusal;                   ///< the last SERVFAIL, NOTIMP or REFUSED
  Duration patience{};                                 ///< before the next resolver is asked
  Instant give_up{}, deadline = Instant::max();
};

namespace {

// Never longer than limits::dns_give_up; shorter if the options say how often the host's own programs try, and for how long.
Duration give_up_after(const ResolverOptions& options, std::size_t resolvers) {
  if (!options.timeout && !options.attempts) return limits::dns_give_up;
  constexpr std::chrono::seconds usual_timeout{5};  // resolv.conf(5)
  constexpr unsigned usual_attempts = 2;
  const std::chrono::seconds one = options.timeout.value_or(usual_timeout);
  return std::min<Duration>(one * options.attempts.value_or(usual_attempts) * resolvers, limits::dns_give_up);
}

}  // namespace

QueryTable::QueryTable(const QueryTableSetup& setup) : setup_(setup) {}
QueryTable::~QueryTable() = default;

std::optional<std::uint64_t> QueryTable::ask(Via via, Bytes message, Done done) {
  NH_BUG_IF(!dns::is_query(message));
  if (queries_.size() >= limits::dns_queries || bytes_ + message.size() > limits::dns_query_bytes) return std::nullopt;
  const std::uint64_t number = ++last_number_;
  auto owned = std::make_unique<Query>(*this, number, via, message, std::move(done));
  Query& query = *owned;
  queries_.emplace(number, std::move(owned));
  bytes_ += query.message.size();
  query.order = setup_.resolvers->next_order();
  const ResolverOptions& options = setup_.resolvers->options();
  if (options.use_vc) query.via = Via::tcp;
  query.patience = options.timeout ? std::min<Duration>(*options.timeout, limits::dns_try) : limits::dns_try;
  query.give_up = setup_.clock->now() + give_up_after(options, query.order.size());
  ask_next(query);
  return number;
}

void QueryTable::cancel(std::uint64_t number) {
  take_out(number);
}

// Asks the next resolver for which a socket can be made. If no resolver is left, the query's deadline is now: expire() ends it, so
// that `done` is never called from here.
void QueryTable::ask_next(Query& query) {
  const Instant now = setup_.clock->now();
  bool opened = false;
  while (!opened && query.next < query.order.size()) opened = ask_one(query, query.order[query.next++]);
  set_deadline(query, query.asked.empty() ? now : std::min(now + query.patience, query.give_up));
}

bool QueryTable::ask_one(Query& query, const NameServer& server) {
  const Address& address = server.address;
  std::optional<Address> source = address.is_v4() ? setup_.outbound4 : setup_.outbound6;
  if (address.is_loopback() || address.is_unspecified()) source.reset();  // a resolver on this very host
  auto socket =
      ResolverSocket::ask(query.via, {setup_.epoll, &query, server, setup_.port, source, &query.message, ids_.next()});
  if (socket) {
    query.asked.push_back(std::move(socket).value());
    return true;
  }
  log::rate_limited(log::Level::warning, "resolver", socket.error().message());
  if (socket.error().code != Code::exhausted) resolver_failed(server);
  return false;
}

void QueryTable::resolver_failed(const NameServer& server) {
  ++resolver_failures_;
  setup_.resolvers->failed(server);
}

// A resolver has failed: asks the next one, or ends the query if none is left. Destroys the socket, inside its own callback.
void QueryTable::go_on(Query& query, ResolverSocket& done_with) {
  std::erase_if(query.asked, [&done_with](const auto& socket) { return socket.get() == &done_with; });
  if (query.next < query.order.size())
    ask_next(query);
  else if (query.asked.empty())
    give_up(query);
}

void QueryTable::give_up(Query& query) {
  std::vector<std::uint8_t> answer =
      query.refusal.empty() ? dns::error_reply(query.message, dns::Rcode::server_failure) : query.refusal;
  finish(query, answer, false);
}

void QueryTable::finish(Query& query, MutableBytes answer, bool good) {
  // Removed before the call, so that `done` may change the table; kept alive for the call, because it may own `answer`.
  const std::unique_ptr<Query> owned = take_out(query.number);
  dns::set_id(answer, dns::id(owned->message));
  owned->done(owned->number, answer, good);
}

std::unique_ptr<QueryTable::Query> QueryTable::take_out(std::uint64_t number) {
  const auto found = queries_.find(number);
  if (found == queries_.end()) return nullptr;
  std::unique_ptr<Query> query = std::move(found->second);
  queries_.erase(found);
  deadlines_.erase({query->deadline, number});
  bytes_ -= query->message.size();
  return query;
}

void QueryTable::set_deadline(Query& query, Instant deadline) {
  deadlines_.erase({query.deadline, query.number});
  query.deadline = deadline;
  deadlines_.emplace(deadline, query.number);
}

Instant QueryTable::next_deadline() const {
  return deadlines_.empty() ? Instant::max() : deadlines_.begin()->first;
}

void QueryTable::expire() {
  const Instant now = setup_.clock->now();
  // Bounded: a query that becomes due again in here waits for the next call.
  for (std::size_t left = deadlines_.size(); left > 0 && next_deadline() <= now; --left) {
    Query& query = *queries_.at(deadlines_.begin()->second);
    for (const auto& silent : query.asked) resolver_failed(silent->server());
    if (now >= query.give_up || query.asked.empty()) {
      give_up(query);
    } else if (query.next < query.order.size()) {
      ask_next(query);
    } else {
      for (const auto& silent : query.asked) silent->ask_again();
      set_deadline(query, std::min(now + query.patience, query.give_up));
    }
  }
}

}  // namespace nh
