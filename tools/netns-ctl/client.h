// SPDX-License-Identifier: BSD-3-Clause
// Client: a connection to a helper's control socket (netns-helper-control.7), one line a reply. It blocks.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "src/base/result.h"
#include "src/base/unique_fd.h"

namespace nh::ctl {

class Client {
 public:
  /// Errors: connect(2)'s; invalid: the path is too long.
  static Result<Client> connect(const std::string& path);

  /// The pid of the listening process (SO_PEERCRED); 0: it is not in our pid namespace.
  pid_t peer() const { return peer_; }
  /// Sends a request, a JSON object without its newline, and returns the next line: the reply, unless there is a subscription.
  /// Errors: timeout: no reply in 10 s; gone: the helper has closed the connection.
  Result<std::string> ask(const std::string& request);
  /// The next line without its newline, however long it takes.
  Result<std::string> next_line() { return line(-1); }

 private:
  explicit Client(UniqueFd fd) : fd_(std::move(fd)) {}
  Result<std::string> line(int timeout_ms);

  UniqueFd fd_;
  pid_t peer_ = 0;
  std::string received_;
  std::size_t searched_ = 0;  ///< bytes of received_ without a newline
};

}  // namespace nh::ctl
