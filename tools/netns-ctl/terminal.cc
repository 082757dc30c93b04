// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-ctl/terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "src/base/number.h"

namespace nh::ctl {
namespace {

// xterm's private modes 1049 (alternate screen, cursor saved) and 25 (cursor), which all terminals of today know.
constexpr std::string_view take_screen = "\x1b[?1049h\x1b[?25l\x1b[2J", give_screen = "\x1b[?25h\x1b[?1049l";

std::size_t from_environment(const char* name) {
  const char* text = std::getenv(name);
  const auto number = parse_unsigned(text != nullptr ? text : "", 1, 10'000, name);
  return number ? static_cast<std::size_t>(*number) : 0;
}

ScreenSize of_terminal(int fd) {
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) return {0, 0};
  return {size.ws_col, size.ws_row};
}

}  // namespace

ScreenSize screen_size(int fd) {
  ScreenSize size = of_terminal(fd);
  if (const auto columns = from_environment("COLUMNS"); columns > 0) size.columns = columns;
  if (const auto rows = from_environment("LINES"); rows > 0) size.rows = rows;
  return size;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t size = write(fd, text.data(), text.size());
    if (size < 0 && errno == EAGAIN) {
      pollfd wait{fd, POLLOUT, 0};
      if (poll(&wait, 1, -1) < 0 && errno != EINTR) return false;
      continue;
    }
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(size));
  }
  return true;
}

Terminal::Terminal() {
  enter();
}

void Terminal::enter() {
  if (entered_) return;
  entered_ = true;
  termios now{};
  if (tcgetattr(STDIN_FILENO, &now) == 0) {
    before_ = now;
    now.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    now.c_cc[VMIN] = 0;
    now.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
  }
  write_all(STDOUT_FILENO, take_screen);
}

void Terminal::leave() {
  if (!entered_) return;
  entered_ = false;
  write_all(STDOUT_FILENO, give_screen);
  if (before_) tcsetattr(STDIN_FILENO, TCSADRAIN, &*before_);
  before_.reset();
}

ScreenSize Terminal::size() const {
  const ScreenSize size = of_terminal(STDOUT_FILENO);
  return size.columns == 0 || size.rows == 0 ? ScreenSize{} : size;
}

}  // namespace nh::ctl
