// SPDX-License-Identifier: BSD-3-Clause
// ControlServer: the control socket, its clients, and their deadlines, on the loop.
//
// Owns the listening socket, every Connection and one timer, which is armed for the nearest
// deadline. Each callback does one bounded piece of work for one client; nothing a client does or
// leaves undone delays a frame. Events come to a client from the data path, by the EventBus: they only
// fill its queue and have the loop look at it. At most limits::control_clients at once; peers of another user
// (root excepted) are turned away. All of it is freed, and the socket's file removed, when the
// server is destroyed; that must not happen inside a command.
#pragma once

#include <poll.h>

#include <functional>
#include <list>
#include <memory>
#include <string>

#include "src/control/commands.h"
#include "src/control/connection.h"
#include "src/control/control_socket.h"
#include "src/loop/loop.h"

namespace nh {

class ControlServer {
 public:
  struct Setup {
    std::string path;
    Dialect dialect = Dialect::native;
    bool replace_file = false;         ///< ControlSocket::open
    Rules& rules;                      ///< must outlive the server
    EventBus& events;                  ///< likewise; no event may be published while the server is destroyed
    std::function<HelperInfo()> info;  ///< must be callable
    std::function<Stats()> stats;      ///< likewise
  };

  /// Listens when it returns. `loop` and `clock` must outlive the server. Errors:
  /// ControlSocket::open()'s.
  static Result<std::unique_ptr<ControlServer>> open(Loop& loop, Setup setup, const Clock& clock);
  static Result<std::unique_ptr<ControlServer>> open(Loop& loop, Setup setup) {
    return open(loop, std::move(setup), loop.clock());
  }
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;
  ~ControlServer();

  const ControlCounters& counters() const { return counters_; }
  std::size_t clients() const { return clients_.size(); }
  /// The directory that the socket's file will be removed from; not given away.
  int directory_fd() const { return socket_.directory_fd(); }
  /// The counters under their names in `info`, "control.requests" and so on.
  HelperInfo::Numbers numbers() const;

 private:
  /// A connection and its place in the loop.
  class Client final : public EventBus::Subscriber {
   public:
    explicit Client(Connection made) : connection(std::move(made)) {}
    void take_event(std::string_view line) override;
    /// Waits for what the connection wants now.
    void follow();

    Connection connection;
    Watch watch;
    IoEvents waits_for = POLLIN;
  };
  using Clients = std::list<Client>;

  ControlServer(Loop& loop, Setup setup, ControlSocket socket, const Clock& clock);
  void on_listener();
  void admit(UniqueFd fd);
  void on_client(Clients::iterator client);
  void on_timer();
  void settle(Clients::iterator client);
  void arm();

  Loop& loop_;
  const Clock& clock_;
  EventBus& events_;
  Commands commands_;
  ControlCounters counters_;
  ControlSocket socket_;
  Clients clients_;
  Watch listener_watch_;
  Timer timer_;
  bool paused_ = false;  ///< no fd was left for a client
  Instant resume_{};     ///< when to try again
};

}  // namespace nh
