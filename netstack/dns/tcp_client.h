// SPDX-License-Identifier: BSD-3-Clause
// DnsTcpClient: one TCP connection of the guest to the DNS address.
//
// Messages have a length prefix (RFC 1035 4.2.2), and are answered in the order in which answers arrive (RFC 7766 6.2.1.1). A
// client that shuts down its side still gets its answers. A message that is no query is counted and ignored. A client that sends no
// whole query, or does not read, is closed after limits::dns_tcp_idle.
#pragma once

#include <functional>
#include <unordered_set>
#include <vector>

#include "netstack/dns/query_table.h"
#include "src/base/unique_fd.h"
#include "src/loop/epoll_set.h"

namespace nh {

struct DnsTcpCounters {
  std::uint64_t queries = 0, answered = 0, failed = 0, malformed = 0, dropped_full = 0;
};

class DnsTcpClient final : public EpollSet::Handler {
 public:
  struct Setup {
    EpollSet* epoll;
    const Clock* clock;
    QueryTable* queries;
    DnsTcpCounters* counters;
    std::function<void()> on_end;  ///< destroys the client
  };
  static Result<std::unique_ptr<DnsTcpClient>> create(const Setup& setup, UniqueFd fd);
  ~DnsTcpClient() override;
  DnsTcpClient(const DnsTcpClient&) = delete;
  DnsTcpClient& operator=(const DnsTcpClient&) = delete;

  void on_ready(int, std::uint32_t events) override;
  /// When it is to be closed for idleness; Instant::max() while a query is under way.
  Instant deadline() const;

 private:
  DnsTcpClient(const Setup& setup, UniqueFd fd);
  bool read();
  bool take_messages();
  bool take_message(Bytes message);
  void reply(Bytes answer);
  bool flush();
  void on_answer(std::uint64_t number, Bytes answer, bool good);
  void settle(bool healthy);
  bool may_read() const;

  Setup setup_;
  UniqueFd fd_;
  std::vector<std::uint8_t> input_, output_;
  std::size_t sent_ = 0;  // of output_
  std::unordered_set<std::uint64_t> under_way_;
  bool input_ended_ = false, watched_ = false;
  std::uint32_t events_ = 0;
  Instant last_progress_;
};

}  // namespace nh
