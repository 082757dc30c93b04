// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/log.h"

#include <fcntl.h>
#include <unistd.h>

#include <string>

#include "src/base/limits.h"
#include "src/base/unique_fd.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

// A pipe as standard error, put back at the end.
struct Captured {
  UniqueFd reader, writer;
  explicit Captured(bool json, log::Level level = log::Level::info) {
    int fds[2];
    REQUIRE(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
    reader.reset(fds[0]);
    writer.reset(fds[1]);
    // The helper's standard error is a blocking descriptor; a write that would block must not be tried.
    REQUIRE(fcntl(writer.get(), F_SETFL, 0) == 0);
    log::set_up({.level = level, .json = json, .fd = writer.get()});
  }
  ~Captured() { log::set_up({}); }
  std::string text() const {
    std::string all(1 << 17, '\0');
    const ssize_t got = read(reader.get(), all.data(), all.size());
    all.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return all;
  }
};

}  // namespace

TEST_CASE("text lines", "[log]") {
  const Captured captured(false);
  log::info("attached\nto \x1b[31mtap0");
  log::warning("slow");
  log::debug("not shown");
  CHECK(captured.text() == "netns-helper: attached to  [31mtap0\nnetns-helper: warning: slow\n");
}

TEST_CASE("JSON lines hold whatever bytes a name has", "[log]") {
  const Captured captured(true);
  log::error("say \"no\" \\ \xff\n");
  const std::string line = captured.text();
  CHECK(line.find(R"("level":"error","message":"say \"no\" \\ \u00ff\u000a"})") != std::string::npos);
  CHECK(line.find("{\"time\":\"2") == 0);
}

TEST_CASE("a long line is cut, and JSON stays whole", "[log]") {
  const Captured captured(true);
  log::error(std::string(100000, '\xff'));
  const std::string line = captured.text();
  CHECK(line.size() <= limits::log_line);
  CHECK(line.substr(line.size() - 3) == "\"}\n");
}

TEST_CASE("a reader who has stopped costs lines and no time, and is told how many", "[log]") {
  const Captured captured(false);
  const std::uint64_t before = log::lost_lines();
  for (int i = 0; i < 100; ++i) log::info(std::string(2000, 'x'));  // far more than a pipe's 64 KiB
  const std::uint64_t lost = log::lost_lines() - before;
  CHECK(lost > 0);
  CHECK(captured.text().find("lost") == std::string::npos);
  log::info("again");
  const std::string after = captured.text();
  CHECK(after.find(std::to_string(lost) + " log lines were lost") != std::string::npos);
  CHECK(after.find("again") != std::string::npos);
}

TEST_CASE("one line a window for each key", "[log]") {
  const Captured captured(false);
  for (int i = 0; i < 1000; ++i) log::rate_limited(log::Level::warning, "key-a", "a");
  log::rate_limited(log::Level::warning, "key-b", "b");
  CHECK(captured.text() == "netns-helper: warning: a\nnetns-helper: warning: b\n");
}

TEST_CASE("levels are parsed", "[log]") {
  CHECK(log::parse_level("debug").value() == log::Level::debug);
  CHECK(log::parse_level("verbose").error().field == "log-level");
}
