// SPDX-License-Identifier: BSD-3-Clause
#include "src/agent/protocol.h"

#include <array>

#include "src/agent/wire.h"
#include "src/base/limits.h"

namespace nh::agent {

namespace {

enum class Type : std::uint32_t { failure = 1, tap_opened = 2, outcome = 3, state = 4, link_gone = 5, refresh = 100 };

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

void write_state(Writer& out, const InterfaceState& state) {
  out.raw(state.mac.bytes);
  out.number(static_cast<std::uint32_t>(state.mtu));
  out.flag(state.up);
  out.flag(state.more_addresses);
  out.number(static_cast<std::uint32_t>(std::min(state.addresses.size(), limits::tap_addresses)));
  for (std::size_t i = 0; i < state.addresses.size() && i < limits::tap_addresses; ++i) {
    const InterfaceAddress& entry = state.addresses[i];
    out.number(static_cast<std::uint8_t>(entry.address.family()));
    out.number(static_cast<std::uint8_t>(entry.prefix));
    out.flag(entry.tentative);
    std::array<std::uint8_t, 16> padded{};
    std::copy(entry.address.bytes().begin(), entry.address.bytes().end(), padded.begin());
    out.raw(padded);
  }
}

MacAddress read_mac(Reader& in) {
  MacAddress mac;
  const Bytes bytes = in.raw(mac.bytes.size());
  std::copy(bytes.begin(), bytes.end(), mac.bytes.begin());
  return mac;
}

InterfaceAddress read_address(Reader& in) {
  const auto family = in.number<std::uint8_t>();
  const auto prefix = in.number<std::uint8_t>();
  const bool tentative = in.flag();
  const Bytes bytes = in.raw(16);
  if ((family != 4 && family != 6) || prefix > (family == 4 ? 32 : 128)) in.fail();
  if (family == 4 && !in.failed() && std::any_of(bytes.begin() + 4, bytes.end(), [](std::uint8_t b) { return b != 0; }))
    in.fail();
  if (in.failed()) return {};
  return {.address = Address::from_bytes(bytes.first(family == 4 ? 4 : 16)), .prefix = prefix, .tentative = tentative};
}

InterfaceState read_state(Reader& in) {
  InterfaceState state;
  state.mac = read_mac(in);
  state.mtu = in.number_to<std::uint32_t>(max_mtu);
  state.up = in.flag();
  state.more_addresses = in.flag();
  const auto count = in.number_to<std::uint32_t>(limits::tap_addresses);
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) state.addresses.push_back(read_address(in));
  return state;
}

Failure read_failure(Reader& in) {
  Failure failure;
  failure.code = static_cast<Code>(in.number_to<std::uint8_t>(static_cast<std::uint8_t>(Code::failed)));
  failure.sys_errno = in.number<std::int32_t>();
  if (failure.sys_errno < 0 || failure.sys_errno > 4095) in.fail();  // MAX_ERRNO of the kernel
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

Outcome read_outcome(Reader& in) {
  Outcome outcome;
  outcome.ra_guard_needed = in.flag();
  outcome.ipv6_left_out = in.flag();
  const auto count = in.number_to<std::uint32_t>(max_warnings);
  for (std::uint32_t i = 0; i < count && !in.failed(); ++i) outcome.warnings.push_back(in.text(max_text));
  return outcome;
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
                 [&](const Outcome& outcome) {
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
             },
             message);
  return out.take();
}

std::vector<std::uint8_t> encode(const ToAgent& message) {
  Writer out;
  type(out, Type::refresh);
  out.number(std::get<Refresh>(message).seq);
  return out.take();
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
      return whole<Outcome, FromAgent>(in, std::move(outcome));
    }
    case Type::state: {
      State state;
      state.seq = in.number<std::uint32_t>();
      state.state = read_state(in);
      return whole<State, FromAgent>(in, std::move(state));
    }
    case Type::link_gone: return whole<LinkGone, FromAgent>(in, LinkGone{});
    case Type::refresh: break;
  }
  return invalid("the agent sent a message of unknown type");
}

Result<ToAgent> decode_to_agent(Bytes bytes) {
  Reader in(bytes);
  if (static_cast<Type>(in.number<std::uint32_t>()) != Type::refresh)
    return invalid("the helper sent a message of unknown type");
  const Refresh refresh{.seq = in.number<std::uint32_t>()};
  return whole<Refresh, ToAgent>(in, refresh);
}

}  // namespace nh::agent
