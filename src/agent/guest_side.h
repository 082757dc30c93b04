// SPDX-License-Identifier: BSD-3-Clause
// GuestSide: what the agent does in the guest's network namespace when the helper asks: steering, sockets, ports.
//
// Theory of operation. open() makes every netlink socket and opens every file that is needed, before the agent is confined;
// afterwards only Internet sockets are made. Nothing in the guest is changed before a SteeringRequest. Then the steering is set up
// (netlink/steering.h) and proved by a connection, for each family as soon as the TAP has an address of it and the guest a
// route to the outside; what the helper is told is what was proved. If nothing could be proved, the steering is taken back; a
// change of addresses or routes is a reason to try again. From then on rules that the guest removes are put back, rate-limited,
// and a note says so. The end of the object takes back what was done.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "src/agent/protocol.h"
#include "src/base/clock.h"
#include "src/base/unique_fd.h"
#include "src/netlink/routing_monitor.h"
#include "src/netlink/steering.h"
#include "src/netlink/undo_log.h"

namespace nh::agent {

class GuestSide {
 public:
  using Post = std::function<void(const FromAgent&, std::vector<UniqueFd>)>;

  static Result<std::unique_ptr<GuestSide>> open(int tap);
  GuestSide(const GuestSide&) = delete;
  GuestSide& operator=(const GuestSide&) = delete;
  ~GuestSide();

  /// Before anything else: where messages go.
  void serve(Post post) { post_ = std::move(post); }
  /// All but Refresh.
  void handle(const ToAgent& message);
  /// The TAP's state, first of all and after each change.
  void on_state(const InterfaceState& state);

  /// Readable when there is an event; -1: nothing is followed.
  int event_fd() const { return wanted_ && repair_at_ == Instant::max() ? routing_.fd() : -1; }
  void on_event();
  Instant deadline() const { return std::min({repair_at_, prove_at_, look_at_, tell_at_}); }
  void on_deadline();

 private:
  struct Proof {
    FamilySteering known;
    bool given_up = false;              ///< no change of the guest's can help
    bool waits = false;                 ///< for an address or a route of the guest's
    std::optional<Endpoint> dial = {};  ///< the helper's address for a proof of `known.dials`
    bool open() const { return !(known.serves && (known.dials || !dial)) && !given_up; }
  };

  GuestSide(int tap, NlSocket route, RoutingMonitor routing)
      : tap_(tap), route_(std::move(route)), routing_(std::move(routing)) {}
  void steer();
  void set_up();
  void prove(Family family, Proof& proof);
  Result<> prove_dials_from(const Address& guest, const Proof& proof);
  PerFamily<FamilySteering> known() const { return {.v4 = proofs_.v4.known, .v6 = proofs_.v6.known}; }
  bool any_proved() const { return proofs_.v4.known.any() || proofs_.v6.known.any(); }
  void report_steering();
  void repair();
  void repair_rules();
  void look();
  void make_batch(const WantBatch& want);
  Result<RtLink> tap_link();
  void allow_own_sources();
  Result<> allow_localnet();
  void answer(std::uint32_t seq, Result<UniqueFd> made);
  std::vector<Address> usable_addresses() const;
  std::uint32_t mark() const { return steering_ ? steering_->bits().stand_in : 0; }

  int tap_;
  NlSocket route_;
  RoutingMonitor routing_;
  std::optional<NlSocket> nftables_, diag_;
  std::string no_nftables_, no_diag_;  ///< why not
  UniqueFd port_range_;
  Post post_;
  InterfaceState state_;
  UndoLog undo_;
  bool wanted_ = false, localnet_ = false;
  std::uint32_t unanswered_ = 0;  ///< seq of the SteeringRequest that waits for its answer; 0: none does
  bool in_use_ = false;           ///< flows may be steered: a proof that fails later takes nothing away from them
  std::optional<Steering> steering_;
  PerFamily<Proof> proofs_;
  std::string last_trouble_;
  Instant repair_at_ = Instant::max(), repaired_ = Instant::min(), retry_at_ = Instant::min(), look_at_ = Instant::max();
  Instant prove_at_ = Instant::max();      ///< what is not proved yet, again
  Instant tell_at_ = Instant::max();       ///< what is known then is told, steered or not
  std::optional<ListenerList> listeners_;  ///< as last told
  std::set<std::uint64_t> own_sockets_;    ///< cookies of those that are no program's
  MonotonicClock clock_;
};

}  // namespace nh::agent
