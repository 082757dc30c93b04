// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/agent_link.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>

#include "src/agent/agent.h"
#include "src/agent/protocol.h"
#include "src/base/limits.h"
#include "src/linux/fd_passing.h"
#include "src/linux/pidfd.h"

namespace nh {

namespace {

/// Messages taken in one turn of the loop.
constexpr int messages_at_once = 16;

Error broken(std::string what) {
  return Error{.code = Code::invalid, .sys_errno = 0, .what = "the guest agent broke the protocol: " + std::move(what)};
}

Error error_of(agent::Failure failure) {
  return Error{.code = failure.code,
               .sys_errno = failure.sys_errno,
               .what = std::move(failure.what),
               .field = std::move(failure.field)};
}

struct Message {
  agent::FromAgent content;
  UniqueFd fd;
};

/// nullopt: the agent has closed its end.
Result<std::optional<Message>> receive(int socket, FdRule rule) {
  std::array<std::uint8_t, agent::max_message> buffer;
  NH_LET(received, receive_message(socket, buffer, rule));
  if (received.size == 0) return std::optional<Message>();
  NH_LET(content, agent::decode_from_agent(Bytes(buffer).first(received.size)));
  return std::optional(Message{.content = std::move(content), .fd = std::move(received.fd)});
}

}  // namespace

AgentLink::AgentLink(UniqueFd socket, pid_t pid, int signal_fd)
    : socket_(std::move(socket)),
      pid_(pid),
      signal_fd_(signal_fd),
      start_deadline_(MonotonicClock().now() + limits::agent_start) {}

Result<std::unique_ptr<AgentLink>> AgentLink::start(const AgentSetup& setup, Attached& ret_attached) {
  NH_BUG_IF(setup.target == nullptr || !setup.target->netns);
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return sys_error("making the agent's socket");
  UniqueFd ours(ends[0]), theirs(ends[1]);
  const pid_t helper = getpid();
  const pid_t child = fork();
  if (child < 0) return sys_error("forking the guest agent");
  if (child == 0) agent::run(setup, std::move(theirs), helper);
  theirs.reset();
  std::unique_ptr<AgentLink> link(new AgentLink(std::move(ours), child, setup.signal_fd));
  // Nobody but us reaps our child, so the number is still its own.
  auto pidfd = open_pidfd(child);
  if (!pidfd) return std::move(pidfd).error().in("opening the guest agent's pidfd");
  link->pidfd_ = std::move(*pidfd);
  if (fcntl(link->socket_.get(), F_SETFL, O_NONBLOCK) != 0) return sys_error("making the agent's socket non-blocking");

  UniqueFd tap;
  NH_LET(message, link->next_message(FdRule::at_most_one, tap));
  auto* opened = std::get_if<agent::TapOpened>(&message);
  if (opened == nullptr || !tap) return broken("a message out of turn");
  ret_attached = Attached();
  ret_attached.tap = std::move(tap);
  ret_attached.info = std::move(opened->info);
  ret_attached.agent_pid = child;
  return link;
}

Result<> AgentLink::finish(Attached& ret_attached) {
  UniqueFd none;
  NH_LET(first, next_message(FdRule::none, none));
  auto* configured = std::get_if<agent::Configured>(&first);
  if (configured == nullptr) return broken("a message out of turn");
  ret_attached.ra_guard_needed = configured->ra_guard_needed;
  ret_attached.ipv6_left_out = configured->ipv6_left_out;
  ret_attached.warnings = std::move(configured->warnings);

  NH_LET(second, next_message(FdRule::none, none));
  auto* state = std::get_if<agent::State>(&second);
  if (state == nullptr) return broken("a message out of turn");
  ret_attached.state = std::move(state->state);
  ret_attached.info.mac = ret_attached.state.mac;  // the plan may have set another one
  return Ok{};
}

/// Waits for it; a Failure becomes the error that it carries.
Result<agent::FromAgent> AgentLink::next_message(FdRule rule, UniqueFd& ret_fd) {
  const MonotonicClock clock;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(start_deadline_ - clock.now()).count();
    if (left <= 0) return Error{.code = Code::timeout, .sys_errno = 0, .what = "the guest agent did not attach in time"};
    std::array<pollfd, 2> fds{
        {{.fd = socket_.get(), .events = POLLIN, .revents = 0}, {.fd = signal_fd_, .events = POLLIN, .revents = 0}}};
    const int ready = poll(fds.data(), fds.size(), static_cast<int>(left));
    if (ready < 0 && errno != EINTR) return sys_error("waiting for the guest agent");
    if (ready <= 0) continue;
    if (fds[1].revents != 0) return Error{.code = Code::interrupted, .sys_errno = 0, .what = "stopped while attaching"};

    auto received = receive(socket_.get(), rule);
    if (!received && received.error().sys_errno == EAGAIN) continue;
    if (!received) return broken(received.error().message());
    if (!*received)
      return Error{.code = Code::gone, .sys_errno = 0, .what = "the guest agent died while attaching: " + end_child()};
    if (auto* failure = std::get_if<agent::Failure>(&(*received)->content)) return error_of(std::move(*failure));
    ret_fd = std::move((*received)->fd);
    return std::move((*received)->content);
  }
}

void AgentLink::serve(Loop& loop, std::function<void(const TapState&)> on_state,
                      std::function<void(const Error&)> on_death) {
  on_state_ = std::move(on_state);
  on_death_ = std::move(on_death);
  watch_ = loop.watch(socket_.get(), POLLIN, [this](IoEvents) { on_ready(); });
}

void AgentLink::on_ready() {
  for (int i = 0; i < messages_at_once && socket_; ++i) {
    std::array<std::uint8_t, agent::max_message> buffer;
    auto received = receive_fds(socket_.get(), buffer, agent::max_batch);
    if (!received && received.error().sys_errno == EAGAIN) return;
    if (!received) return lose(broken(received.error().message()));
    if (received->size == 0)
      return lose(Error{.code = Code::gone, .sys_errno = 0, .what = "the guest agent died: " + end_child()});
    auto content = agent::decode_from_agent(Bytes(buffer).first(received->size));
    if (!content) return lose(broken(content.error().message()));
    const std::size_t expected = agent::fds_of(*content);
    if (received->lost ? received->fds.size() >= expected : received->fds.size() != expected)
      return lose(broken("a message with other descriptors than it says"));
    if (!take(std::move(*content), std::move(received->fds))) return;
  }
}

bool AgentLink::take(agent::FromAgent content, std::vector<UniqueFd> fds) {
  if (const auto* state = std::get_if<agent::State>(&content)) {
    on_state_(state->state);
  } else if (const auto* note = std::get_if<agent::Note>(&content)) {
    if (on_note_) on_note_(note->text);
  } else if (const auto* ports = std::get_if<agent::Ports>(&content)) {
    if (on_ports_) on_ports_(ports->list);
  } else if (const auto* report = std::get_if<agent::SteeringReport>(&content)) {
    if (observer_ != nullptr) observer_->on_steering(*report, std::move(fds));
  } else if (const auto* batch = std::get_if<agent::Batch>(&content)) {
    if (observer_ != nullptr) observer_->on_batch(*batch, std::move(fds));
  } else if (const auto* answer = std::get_if<agent::Answer>(&content)) {
    if (observer_ != nullptr) observer_->on_answer(*answer, fds.empty() ? UniqueFd() : std::move(fds.front()));
  } else {
    if (std::holds_alternative<agent::LinkGone>(content))
      lose(Error{.code = Code::gone, .sys_errno = 0, .what = "the TAP was deleted, or taken to another network namespace"});
    else if (auto* failure = std::get_if<agent::Failure>(&content))
      lose(error_of(std::move(*failure)).in("the guest agent ended"));
    else
      lose(broken("a message out of turn"));
    return false;
  }
  return true;
}

void AgentLink::lose(Error error) {
  watch_.reset();
  end_child();
  if (observer_ != nullptr) observer_->on_agent_lost(error);
  if (on_death_) on_death_(error);
}

bool AgentLink::ask(const agent::ToAgent& question) {
  return socket_ && send_message(socket_.get(), agent::encode(question));
}

void AgentLink::follow_ports(std::function<void(const ListenerList&)> callback) {
  on_ports_ = std::move(callback);
  ask(agent::FollowPorts{.on = static_cast<bool>(on_ports_)});
}

void AgentLink::request_refresh() {
  if (!socket_) return;
  // A full socket (EAGAIN) holds requests enough; a broken one is noticed by the watch.
  if (auto sent = send_message(socket_.get(), agent::encode(agent::ToAgent(agent::Refresh{.seq = next_seq_}))); !sent)
    return;
  if (++next_seq_ == 0) next_seq_ = 1;
}

std::string AgentLink::end_child() {
  socket_.reset();
  if (reaped_) return "it has ended";
  reaped_ = true;
  constexpr std::chrono::milliseconds grace = limits::agent_stop;
  // Not reaped, so its number is its own; a confined helper may use no pidfd.
  if (!pidfd_ || !wait_for_end(pidfd_.get(), static_cast<int>(grace.count()))) kill(pid_, SIGKILL);
  int status = 0;
  pid_t reaped = -1;
  do reaped = waitpid(pid_, &status, 0);
  while (reaped < 0 && errno == EINTR);
  if (reaped != pid_) return "its status is unknown";
  if (WIFSIGNALED(status))
    return std::string("signal ") + std::to_string(WTERMSIG(status)) + " (" + strsignal(WTERMSIG(status)) + ")";
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

AgentLink::~AgentLink() {
  watch_.reset();
  end_child();
}

}  // namespace nh
