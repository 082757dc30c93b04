// SPDX-License-Identifier: BSD-3-Clause
// Commands: what the control socket can be asked, and the exact shape of each answer.
//
// Theory of operation. A request is one JSON object, {"execute": NAME, "arguments": {...}, "id":
// ANY}. It is parsed into a type without an invalid state, or refused with the name of the member
// at fault; only then is the backend called. Text in, text out: no socket, so that every answer can be
// tested, and fuzzed, by itself. The commands themselves are in hostfwd_commands.cc and
// native_commands.cc.
//
// Two dialects. Native answers are one line, {"return": {...}, "id": ANY} or {"error": {"code",
// "desc", "field"}, "id": ANY}, and the connection goes on. slirp4netns's answers have its shapes
// and its texts, without a newline, and are the last word of their connection, because its clients
// wait for the end of file. A native connection speaks like slirp4netns if its first request is one
// of slirp4netns's three commands, without "id" and with nothing after it, not even a newline. The
// text of a native error begins with slirp4netns's where slirp4netns has that error; the broken
// rule follows.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "src/base/clock.h"
#include "src/control/event_bus.h"
#include "src/control/info.h"
#include "src/control/rules.h"
#include "src/control/stats.h"

namespace nh {

enum class Dialect : std::uint8_t { native, slirp4netns };

struct Reply {
  std::string text;                          ///< all bytes of the answer, its newline included if it has one
  bool last = false;                         ///< the connection ends after it
  bool refused = false;                      ///< it is an error
  std::optional<EventKinds> subscribe = {};  ///< the connection gets these events from here on; none: none
};

/// What the commands are answered from. The references must outlive whoever holds it; the functions must be callable.
struct Backend {
  Rules& rules;
  std::function<HelperInfo()> info;
  std::function<Stats()> stats;
  const Clock& clock;
};

class Commands {
 public:
  Commands(Backend backend, Dialect dialect);

  /// Answers one request. `lone`: it is the first one of its connection and nothing follows it, not
  /// even a newline.
  Reply answer(std::string_view request, bool lone) const;
  /// Answers bytes that stand where an object should begin.
  Reply not_an_object(std::string_view bytes) const;
  /// Answers a request beyond max_request().
  Reply too_large() const;
  /// Answers half a request: its time is up, or else its connection ended.
  Reply unfinished(bool timed_out) const;

  /// What is said to a client that ends without a request: nothing, but in slirp4netns's dialect.
  std::optional<Reply> no_request() const;

  /// Bytes of the largest request.
  std::size_t max_request() const;

 private:
  Backend backend_;
  Dialect dialect_;
};

}  // namespace nh
