// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/top.h"

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>

#include "src/base/clock.h"
#include "tools/netns-ctl/reply.h"
#include "tools/netns-ctl/terminal.h"

namespace nh::ctl {
namespace {

constexpr std::size_t most_pages =
    5;  // of flow.list, limits::control_flows flows each: bounds what a refresh costs the helper

/// Signals as a descriptor for as long as this lives.
class Signals {
 public:
  Signals() {
    sigset_t wanted;
    sigemptyset(&wanted);
    for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP}) sigaddset(&wanted, number);
    sigprocmask(SIG_BLOCK, &wanted, &before_);
    fd_.reset(signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;
  ~Signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }
  int fd() const { return fd_.get(); }
  /// The next one, or 0.
  int next() const {
    signalfd_siginfo info{};
    return read(fd_.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info) ? static_cast<int>(info.ssi_signo) : 0;
  }

 private:
  sigset_t before_{};
  UniqueFd fd_;
};

Result<Json> result_of(Client& client, const std::string& request) {
  NH_LET(line, client.ask(request));
  NH_LET(reply, parse_reply(line));
  if (reply.refused()) return Error{.code = Code::failed, .what = reply.error};
  return std::move(reply.value);
}

Result<> refresh(Client& client, TopState& state) {
  NH_LET(rules, result_of(client, R"({"execute":"forward.list"})"));
  std::vector<Json> pages;
  std::string after = "0";
  bool more = true;
  while (more && pages.size() < most_pages) {
    NH_LET(page, result_of(client, R"({"execute":"flow.list","arguments":{"after":)" + after + "}}"));
    after = text_at(page, "/next");
    more = !after.empty();
    pages.push_back(std::move(page));
  }
  NH_LET(stats, result_of(client, R"({"execute":"stats"})"));
  state.update(stats, rules, pages, more);
  return Ok{};
}

/// Why a wait on a terminal ended.
struct Woken {
  bool quit = false, redraw = false;
  int signal = 0;
};

class LiveTop {
 public:
  LiveTop(Client& client, const Options& options) : client_(client), options_(options) {}

  int run() {
    int ended_by = 0;
    int code = exit_done;
    std::string problem;
    {
      const Signals signals;
      Terminal terminal;
      std::uint64_t frames = 0;
      bool going = true;
      while (going) {
        if (auto refreshed = refresh(client_, state_); !refreshed) {
          problem = refreshed.error().message();
          code = exit_unreached;
          break;
        }
        const Instant next = clock_.now() + options_.interval;
        draw(terminal);
        if (++frames == options_.frames) break;
        while (going) {
          const Woken woken = wait(signals, next);
          if (woken.quit) going = false;
          if (woken.signal == SIGTSTP) {
            stop(terminal);
          } else if (woken.signal != 0 && woken.signal != SIGWINCH) {
            ended_by = woken.signal;
            going = false;
          }
          if (going && (woken.redraw || woken.signal != 0)) draw(terminal);
          if (clock_.now() >= next) break;
        }
      }
    }
    if (!problem.empty()) std::fprintf(stderr, "netns-ctl: %s\n", problem.c_str());
    // Ends by the signal, now that the screen is restored.
    if (ended_by != 0) raise(ended_by);
    return code;
  }

 private:
  void draw(const Terminal& terminal) {
    const ScreenSize size = terminal.size();
    write_all(STDOUT_FILENO, terminal_frame(draw_top(state_, order_, size), size));
  }

  /// Ctrl-Z: restores the screen until SIGCONT.
  static void stop(Terminal& terminal) {
    terminal.leave();
    raise(SIGSTOP);
    terminal.enter();
  }

  Woken wait(const Signals& signals, Instant until) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(std::max(until - clock_.now(), Duration::zero()));
    std::array<pollfd, 2> fds{{{signals.fd(), POLLIN, 0}, {keys_ ? STDIN_FILENO : -1, POLLIN, 0}}};
    Woken woken;
    if (poll(fds.data(), fds.size(), static_cast<int>(left.count())) <= 0) return woken;
    if (fds[0].revents != 0) woken.signal = signals.next();
    if (fds[1].revents != 0) on_keys(woken);
    return woken;
  }

  void on_keys(Woken& woken) {
    std::array<char, 64> keys;
    const ssize_t size = read(STDIN_FILENO, keys.data(), keys.size());
    // End of file: no more keys to wait for.
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) keys_ = false;
    for (ssize_t i = 0; i < size; ++i) {
      const char key = keys[static_cast<std::size_t>(i)];
      if (key == 'q' || key == 'Q') woken.quit = true;
      if (key == 'r') order_ = TopOrder::rate;
      if (key == 'b') order_ = TopOrder::bytes;
      if (key == 'a') order_ = TopOrder::age;
      woken.redraw = true;
    }
  }

  Client& client_;
  const Options& options_;
  MonotonicClock clock_;
  TopState state_;
  TopOrder order_ = TopOrder::rate;
  bool keys_ = true;  ///< standard input is open
};

int plain_top(Client& client, const Options& options) {
  TopState state;
  for (std::uint64_t updates = 0; options.frames == 0 || updates <= options.frames; ++updates) {
    if (updates > 0) poll(nullptr, 0, static_cast<int>(options.interval.count()));
    if (auto refreshed = refresh(client, state); !refreshed) {
      std::fprintf(stderr, "netns-ctl: %s\n", refreshed.error().message().c_str());
      return exit_unreached;
    }
    if (updates == 0) continue;
    std::string text = updates > 1 ? "\n" : "";
    for (const std::string& line :
         draw_top(state, TopOrder::rate, {.columns = screen_size(STDOUT_FILENO).columns, .rows = 0}))
      if (!line.starts_with("sorted by ")) text += line + "\n";
    if (!write_all(STDOUT_FILENO, text)) return exit_done;
  }
  return exit_done;
}

}  // namespace

int run_top(Client& client, const Options& options) {
  if (isatty(STDOUT_FILENO) != 1) return plain_top(client, options);
  return LiveTop(client, options).run();
}

}  // namespace nh::ctl
