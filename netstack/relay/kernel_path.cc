// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/kernel_path.h"

#include <utility>

namespace nh {
namespace {

void append(std::string& text, const std::string& more) {
  if (!more.empty()) text += (text.empty() ? "" : "; ") + more;
}

}  // namespace

std::string steering_reasons(bool any, bool v4, const std::string& v4_reason, bool v6, const std::string& v6_reason) {
  const auto words = [any](const char* family, bool on, const std::string& why) {
    if (on || (any && why.empty())) return std::string();
    return family + std::string(why.empty() ? "the guest's TAP has no address" : why);
  };
  std::string text = words("IPv4: ", v4, v4_reason);
  append(text, words("IPv6: ", v6, v6_reason));
  return text;
}

std::string KernelPathState::why_no_stand_ins() const {
  if (phase == Phase::off) return off_reason;
  if (phase == Phase::preparing) return {};
  const FamilySteering &v4 = steering.v4, &v6 = steering.v6;
  return steering_reasons(true, v4.serves, v4.serves_reason, v6.serves, v6.serves_reason);
}

std::string KernelPathState::forwards_reason() const {
  std::string text = why_no_stand_ins();
  if (phase == Phase::ready && !ports_kept)
    append(text, "clients keep their address, but not their port: the kernel lacks IP_LOCAL_PORT_RANGE (Linux 6.3)");
  return text;
}

std::string KernelPathState::outbound_reason() const {
  if (phase == Phase::preparing) return "the guest is being prepared";
  const FamilySteering &v4 = steering.v4, &v6 = steering.v6;
  std::string text =
      phase == Phase::off ? off_reason : steering_reasons(true, v4.dials, v4.dials_reason, v6.dials, v6.dials_reason);
  for (const Family family : {Family::v4, Family::v6})
    if (unreached.of(family))
      append(text, std::string(family == Family::v4 ? "IPv4" : "IPv6") + ": a stand-in did not reach the guest");
  return text;
}

KernelPath::Subscription KernelPath::subscribe(Subscriber subscriber) {
  subscribers_.emplace(++last_number_, std::move(subscriber));
  return {this, last_number_};
}

void KernelPath::set(KernelPathState next) {
  KernelPathState told = std::exchange(now_, std::move(next));
  if (telling_) return;
  telling_ = true;
  while (!(told == now_)) {
    const KernelPathState telling = now_;
    for (auto at = subscribers_.begin(); at != subscribers_.end();) {
      const std::uint64_t number = at->first;
      const Subscriber subscriber = at->second;  // it may end its own subscription
      subscriber(told, telling);
      at = subscribers_.upper_bound(number);
    }
    told = telling;
  }
  telling_ = false;
}

}  // namespace nh
