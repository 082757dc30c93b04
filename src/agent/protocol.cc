// SPDX-License-Identifier: BSD-3-Clause
// Longer than most: what is written and what is read of each message have to be seen together.
#include "src/agent/protocol.h"

#include <array>

#include "src/agent/wire.h"
#include "src/base/limits.h"

namespace nh::agent {

namespace {

enum class Type : std::uint32_t {
  failure = 1,
  tap_opened = 2,
  outcome = 3,
  state = 4,
  link_gone = 5,
  steering_report = 6,
  note = 7,
  batch = 8,
  answer = 9,
  ports = 10,
  refresh = 100,
  steering_request = 101,
  want_batch = 102,
  open_bound = 103,
  open_udp = 104,
  listen = 105,
  localnet = 106,
  follow_ports = 107
};

constexpr std::size_t max_name = 15;
constexpr std::uint32_t max_mtu = 65535;

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

void type(Writer& out, Type value) {
  out.number(static_cast<std::uint32_t>(value));
}

void write_address(Writer& out, const Address& address) {
  out.number(static_cast<std::uint8_t>(address.family()));
  std::array<std::uint8_t, 16> padded{};
  std::copy(address.bytes().begin(), address.bytes().end(), padded.begin());
  out.raw(padded);
}

void write_endpoint(Writer& out, const Endpoint& endpoint) {
  write_address(out, endpoint.address);
  out.number(endpoint.port);
}

void write_error(Writer& out, const std::optional<Error>& error) {
  out.flag(error.has_value());
  if (!error) return;
  out.number(static_cast<std::uint8_t>(error->code));
  out.number(static_cast<std::int32_t>(error->sys_errno));
  out.text(error->what, max_text);
}

void write_state(Writer& out, const InterfaceState& state) {
  out.raw(state.mac.bytes);
  out.number(static_cast<std::uint32_t>(state.mtu));
  out.flag(state.up);
  out.flag(state.more_addresses);
  out.number(static_cast<std::uint32_t>(std::min(state.addresses.size(), limits::tap_addresses)));
  for (std::size_t i = 0; i < state.addresses.size() && i < limits::tap_addresses; ++i) {
    const InterfaceAddress& entry = state.addresses[i];
    write_address(out, entry.address);
    out.number(static_cast<std::uint8_t>(entry.prefix));
    out.flag(entry.tentative);
  }
}

MacAddress read_mac(Reader& in) {
  MacAddress mac;
  const Bytes bytes = in.raw(mac.bytes.size());
  std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
  return mac;
}

Family read_family(Reader& in) {
  const auto family = in.number<std::uint8_t>();
  if (family != 4 && family != 6) in.fail();
  return family == 6 ? Family::v6 : Family::v4;
}

Address read_address(Reader& in) {
  const Family family = read_family(in);
  const Bytes bytes = in.raw(16);
  if (in.failed()) return {};
  if (family == Family::v6) return Address::from_bytes(bytes);
  if (std::any_of(bytes.begin() + 4, bytes.end(), [](std::uint8_t b) { return b != 0; })) in.fail();
  return Address::from_bytes(bytes.first(4));
}

Endpoint read_endpoint(Reader& in) {
  Endpoint endpoint;
  endpoint.address = read_address(in);
  endpoint.port = in.number<std::uint16_t>();
  return endpoint;
}

std::int32_t read_errno(Reader& in) {
  const auto value = in.number<std::int32_t>();
  if (value < 0 || value > 4095) in.fail();  // MAX_ERRNO of the kernel
  return value;
}

Code read_code(Reader& in) {
  return static_cast<Code>(in.number_to<std::uint8_t>(static_cast<std::uint8_t>(Code::failed)));
}

std::optional<Error> read_error(Reader& in) {
  if (!in.flag()) return std::nullopt;
  Error error;
  error.code = read_code(in);
  error.sys_errno = read_errno(in);
  error.what = in.text(max_text);
  return error;
}

InterfaceAddress read_interface_address(Reader& in) {
  InterfaceAddress entry;
  entry.address = read_address(in);
  entry.prefix = in.number_to<std::uint8_t>(entry.address.is_v4() ? 32 : 128);
  entry.tentative = in.flag();
  return entry;
}

InterfaceState read_state(Reader& in) {
  InterfaceState state;
  state.mac = read_mac(in);
  state.mtu = in.number_to<std::uint32_t>(max_mtu);
  state.up = in.flag();
  state.more_addresses = in.flag();
  const auto count = in.number_to<std::uint32_t>(limits::tap_addresses);
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) state.addresses.push_back(read_interface_address(in));
  return state;
}

Failure read_failure(Reader& in) {
  Failure failure;
  failure.code = read_code(in);
  failure.sys_errno = read_errno(in);
  failure.what = in.text(max_text);
  failure.field = in.text(max_name);
  return failure;
}

TapOpened read_tap_opened(Reader& in) {
  TapOpened opened;
  opened.info.name = in.text(max_name);
  opened.info.vnet_hdr = in.flag();
  opened.info.offload = in.flag();
  opened.info.mac = read_mac(in);
  if (!check_interface_name(opened.info.name)) in.fail();
  return opened;
}

Configured read_outcome(Reader& in) {
  Configured outcome;
  outcome.ra_guard_needed = in.flag();
  outcome.ipv6_left_out = in.flag();
  const auto count = in.number_to<std::uint32_t>(max_warnings);
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) outcome.warnings.push_back(in.text(max_text));
  return outcome;
}

FamilySteering read_family_steering(Reader& in) {
  FamilySteering steering;
  steering.serves = in.flag();
  steering.serves_reason = in.text(max_text);
  steering.dials = in.flag();
  steering.dials_reason = in.text(max_text);
  return steering;
}

void write_family_steering(Writer& out, const FamilySteering& steering) {
  out.flag(steering.serves);
  out.text(steering.serves_reason, max_text);
  out.flag(steering.dials);
  out.text(steering.dials_reason, max_text);
}

SteeringReport read_steering_report(Reader& in) {
  SteeringReport report;
  report.seq = in.number<std::uint32_t>();
  report.steering.v4 = read_family_steering(in);
  report.steering.v6 = read_family_steering(in);
  return report;
}

std::optional<Endpoint> read_optional_endpoint(Reader& in) {
  if (!in.flag()) return std::nullopt;
  return read_endpoint(in);
}

void write_optional_endpoint(Writer& out, const std::optional<Endpoint>& endpoint) {
  out.flag(endpoint.has_value());
  if (endpoint) write_endpoint(out, *endpoint);
}

Batch read_batch(Reader& in) {
  Batch batch;
  batch.family = read_family(in);
  batch.count = in.number_to<std::uint32_t>(max_batch);
  batch.error = read_error(in);
  return batch;
}

Answer read_answer(Reader& in) {
  Answer answer;
  answer.seq = in.number<std::uint32_t>();
  answer.has_fd = in.flag();
  answer.error = read_error(in);
  if (answer.has_fd && answer.error) in.fail();
  return answer;
}

Ports read_ports(Reader& in) {
  Ports ports;
  ports.list.more = in.flag();
  const auto count = in.number_to<std::uint32_t>(limits::guest_listeners);
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) {
    GuestListener listener;
    listener.udp = in.flag();
    listener.at = read_endpoint(in);
    ports.list.listeners.push_back(listener);
  }
  return ports;
}

SteeringRequest read_steering_request(Reader& in) {
  SteeringRequest request;
  request.seq = in.number<std::uint32_t>();
  if (request.seq == 0) in.fail();
  request.dial.v4 = read_optional_endpoint(in);
  request.dial.v6 = read_optional_endpoint(in);
  return request;
}

WantBatch read_want_batch(Reader& in) {
  WantBatch want;
  want.family = read_family(in);
  want.count = in.number_to<std::uint32_t>(max_batch);
  if (want.count == 0) in.fail();
  return want;
}

OpenUdp read_open_udp(Reader& in) {
  OpenUdp open;
  open.seq = in.number<std::uint32_t>();
  open.guest_peer = read_endpoint(in);
  open.guest = read_endpoint(in);
  if (open.guest_peer.address.family() != open.guest.address.family()) in.fail();
  return open;
}

Listen read_listen(Reader& in) {
  Listen listen;
  listen.seq = in.number<std::uint32_t>();
  listen.kind = in.flag() ? GuestSocketKind::udp : GuestSocketKind::tcp_listener;
  listen.at = read_endpoint(in);
  return listen;
}

Error invalid(const char* what) {
  return Error{.code = Code::invalid, .sys_errno = 0, .what = what};
}

template <class Message, class Variant>
Result<Variant> whole(const Reader& in, Message message) {
  if (in.failed() || !in.at_end()) return invalid("a message between helper and agent breaks its layout");
  return Variant(std::move(message));
}

}  // namespace

std::vector<std::uint8_t> encode(const FromAgent& message) {
  Writer out;
  std::visit(Overloaded{
                 [&](const Failure& failure) {
                   type(out, Type::failure);
                   out.number(static_cast<std::uint8_t>(failure.code));
                   out.number(failure.sys_errno);
                   out.text(failure.what, max_text);
                   out.text(failure.field, max_name);
                 },
                 [&](const TapOpened& opened) {
                   type(out, Type::tap_opened);
                   out.text(opened.info.name, max_name);
                   out.flag(opened.info.vnet_hdr);
                   out.flag(opened.info.offload);
                   out.raw(opened.info.mac.bytes);
                 },
                 [&](const Configured& outcome) {
                   type(out, Type::outcome);
                   out.flag(outcome.ra_guard_needed);
                   out.flag(outcome.ipv6_left_out);
                   const std::size_t count = std::min(outcome.warnings.size(), max_warnings);
                   out.number(static_cast<std::uint32_t>(count));
                   for (std::size_t i = 0; i < count; ++i) out.text(outcome.warnings[i], max_text);
                 },
                 [&](const State& state) {
                   type(out, Type::state);
                   out.number(state.seq);
                   write_state(out, state.state);
                 },
                 [&](const LinkGone&) { type(out, Type::link_gone); },
                 [&](const SteeringReport& report) {
                   type(out, Type::steering_report);
                   out.number(report.seq);
                   write_family_steering(out, report.steering.v4);
                   write_family_steering(out, report.steering.v6);
                 },
                 [&](const Note& note) {
                   type(out, Type::note);
                   out.text(note.text, max_text);
                 },
                 [&](const Batch& batch) {
                   type(out, Type::batch);
                   out.number(static_cast<std::uint8_t>(batch.family));
                   out.number(batch.count);
                   write_error(out, batch.error);
                 },
                 [&](const Answer& answer) {
                   type(out, Type::answer);
                   out.number(answer.seq);
                   out.flag(answer.has_fd);
                   write_error(out, answer.error);
                 },
                 [&](const Ports& ports) {
                   type(out, Type::ports);
                   const std::size_t count = std::min(ports.list.listeners.size(), limits::guest_listeners);
                   out.flag(ports.list.more || count < ports.list.listeners.size());
                   out.number(static_cast<std::uint32_t>(count));
                   for (std::size_t i = 0; i < count; ++i) {
                     out.flag(ports.list.listeners[i].udp);
                     write_endpoint(out, ports.list.listeners[i].at);
                   }
                 },
             },
             message);
  return out.take();
}

std::vector<std::uint8_t> encode(const ToAgent& message) {
  Writer out;
  std::visit(Overloaded{
                 [&](const Refresh& refresh) {
                   type(out, Type::refresh);
                   out.number(refresh.seq);
                 },
                 [&](const SteeringRequest& request) {
                   type(out, Type::steering_request);
                   out.number(request.seq);
                   write_optional_endpoint(out, request.dial.v4);
                   write_optional_endpoint(out, request.dial.v6);
                 },
                 [&](const WantBatch& want) {
                   type(out, Type::want_batch);
                   out.number(static_cast<std::uint8_t>(want.family));
                   out.number(want.count);
                 },
                 [&](const OpenBound& open) {
                   type(out, Type::open_bound);
                   out.number(open.seq);
                   write_endpoint(out, open.guest_peer);
                 },
                 [&](const OpenUdp& open) {
                   type(out, Type::open_udp);
                   out.number(open.seq);
                   write_endpoint(out, open.guest_peer);
                   write_endpoint(out, open.guest);
                 },
                 [&](const Listen& listen) {
                   type(out, Type::listen);
                   out.number(listen.seq);
                   out.flag(listen.kind == GuestSocketKind::udp);
                   write_endpoint(out, listen.at);
                 },
                 [&](const Localnet& localnet) {
                   type(out, Type::localnet);
                   out.number(localnet.seq);
                 },
                 [&](const FollowPorts& follow) {
                   type(out, Type::follow_ports);
                   out.flag(follow.on);
                 },
             },
             message);
  return out.take();
}

std::size_t fds_of(const FromAgent& message) {
  if (std::holds_alternative<TapOpened>(message)) return 1;
  if (const auto* report = std::get_if<SteeringReport>(&message)) return report->any() ? 2 : 0;
  if (const auto* batch = std::get_if<Batch>(&message)) return batch->count;
  if (const auto* answer = std::get_if<Answer>(&message)) return answer->has_fd ? 1 : 0;
  return 0;
}

Result<FromAgent> decode_from_agent(Bytes bytes) {
  Reader in(bytes);
  switch (static_cast<Type>(in.number<std::uint32_t>())) {
    case Type::failure: {
      auto failure = read_failure(in);
      return whole<Failure, FromAgent>(in, std::move(failure));
    }
    case Type::tap_opened: {
      auto opened = read_tap_opened(in);
      return whole<TapOpened, FromAgent>(in, std::move(opened));
    }
    case Type::outcome: {
      auto outcome = read_outcome(in);
      return whole<Configured, FromAgent>(in, std::move(outcome));
    }
    case Type::state: {
      State state;
      state.seq = in.number<std::uint32_t>();
      state.state = read_state(in);
      return whole<State, FromAgent>(in, std::move(state));
    }
    case Type::link_gone:
      return whole<LinkGone, FromAgent>(in, LinkGone{});
    case Type::steering_report: {
      auto report = read_steering_report(in);
      return whole<SteeringReport, FromAgent>(in, std::move(report));
    }
    case Type::note: {
      Note note{.text = in.text(max_text)};
      return whole<Note, FromAgent>(in, std::move(note));
    }
    case Type::batch: {
      auto batch = read_batch(in);
      return whole<Batch, FromAgent>(in, std::move(batch));
    }
    case Type::answer: {
      auto answer = read_answer(in);
      return whole<Answer, FromAgent>(in, std::move(answer));
    }
    case Type::ports: {
      auto ports = read_ports(in);
      return whole<Ports, FromAgent>(in, std::move(ports));
    }
    default:
      break;
  }
  return invalid("the agent sent a message of unknown type");
}

Result<ToAgent> decode_to_agent(Bytes bytes) {
  Reader in(bytes);
  switch (static_cast<Type>(in.number<std::uint32_t>())) {
    case Type::refresh: {
      const Refresh refresh{.seq = in.number<std::uint32_t>()};
      return whole<Refresh, ToAgent>(in, refresh);
    }
    case Type::steering_request: {
      const SteeringRequest request = read_steering_request(in);
      return whole<SteeringRequest, ToAgent>(in, request);
    }
    case Type::want_batch: {
      const WantBatch want = read_want_batch(in);
      return whole<WantBatch, ToAgent>(in, want);
    }
    case Type::open_bound: {
      OpenBound open{.seq = in.number<std::uint32_t>(), .guest_peer = {}};
      open.guest_peer = read_endpoint(in);
      return whole<OpenBound, ToAgent>(in, open);
    }
    case Type::open_udp: {
      const OpenUdp open = read_open_udp(in);
      return whole<OpenUdp, ToAgent>(in, open);
    }
    case Type::listen: {
      const Listen listen = read_listen(in);
      return whole<Listen, ToAgent>(in, listen);
    }
    case Type::localnet: {
      const Localnet localnet{.seq = in.number<std::uint32_t>()};
      return whole<Localnet, ToAgent>(in, localnet);
    }
    case Type::follow_ports: {
      const FollowPorts follow{.on = in.flag()};
      return whole<FollowPorts, ToAgent>(in, follow);
    }
    default:
      break;
  }
  return invalid("the helper sent a message of unknown type");
}

}  // namespace nh::agent
