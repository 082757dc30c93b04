// SPDX-License-Identifier: BSD-3-Clause
// Every limit of the helper: its unit, its reason, and what happens when it is reached. The man page has the same
// table (netns-helper-limits.7). "fds" are file descriptors.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace nh::limits {

using namespace std::chrono_literals;

// ---- log ----
/// Bytes of one log line; longer ones are cut. PIPE_BUF: a write of this size into a pipe is not torn (pipe(7)).
inline constexpr std::size_t log_line = 4096;
/// One line a key in this time; the others are counted.
inline constexpr auto log_window = 1s;

// ---- attach ----
/// The agent must have attached and configured within this time, else the start fails.
inline constexpr auto agent_start = 5s;
/// An agent that was told to go gets this long, to undo what it has done, before it is killed.
inline constexpr auto agent_stop = 500ms;
/// The agent lets events of the interface gather for this time before it looks again: bounds what a guest that changes
/// its addresses without end can cost.
inline constexpr auto agent_event_pause = 20ms;
/// The kernel must deliver to an IPv6 address within this time after it was added (normally microseconds), else a warning.
inline constexpr auto local_route_wait = 500ms;
/// A TAP must arrive on --tap-socket within this time, else the start fails.
inline constexpr auto tap_socket_wait = 30s;
/// bwrap must have written its info within this time, else the start fails.
inline constexpr auto bwrap_info_wait = 30s;
/// Bytes of that info; more are an error. bwrap 0.11 writes some 200.
inline constexpr std::size_t bwrap_info = 64 * 1024;
/// How often a --netns path is looked at; gone or replaced ends the helper. Bounds the notice at well under 1 s.
inline constexpr auto netns_path_check = 250ms;
/// Addresses of the TAP that are followed; more are ignored with a log line.
inline constexpr std::size_t tap_addresses = 64;

// ---- steering and stand-ins ----
/// nf_tables must take or refuse a batch within this time (it may load a module first), else steering is off.
inline constexpr auto nftables_answer = 3s;
/// Numbers of routing tables that are tried for ours; when each is taken, steering is off.
inline constexpr std::uint32_t steering_tables = 64;
/// A connection that proves the steering must be through within this time, else steering is off.
inline constexpr auto steering_proof = 500ms;
/// Time between two repairs of rules that the guest removed: bounds what a guest that does so without end can cost.
inline constexpr auto steering_repair_pause = 250ms;
/// Time between two attempts to prove the steering, when the first one failed and addresses or routes changed since.
inline constexpr auto steering_retry_pause = 2s;
/// The same where either the guest's own connections or those from outside work: most likely its firewall will have it so, and
/// an attempt holds the agent up.
inline constexpr auto steering_firewall_pause = 10s;
/// A guest whose TAP has no address and route yet may get them within this time after the start; clients of forwards wait.
/// Then libslirp has the forwards, until the address comes.
inline constexpr auto steering_address_wait = 2s;
/// Blank stand-ins of a family that the helper keeps; below half of it more are asked for. Of this order are the connects of
/// one burst; each is a descriptor and some 3 KiB of the kernel's memory.
inline constexpr std::size_t stand_in_stock = 64;
/// Connections that wait for a stand-in; more are refused.
inline constexpr std::size_t stand_in_waiting = 4096;
/// A connection waits this long for a stand-in, then it fails.
inline constexpr auto stand_in_wait = 5s;
/// How long the guest's range of local ports is believed before it is read again.
inline constexpr auto port_range_age = 1s;
/// Messages to the helper that the agent keeps while it does not take them; then the agent reads no further questions.
inline constexpr std::size_t agent_outbox = 16;
/// Listening ports of the guest that are followed; more are left out.
inline constexpr std::size_t guest_listeners = 512;
/// How often the agent looks for the guest's listening ports, while that is asked for.
inline constexpr auto guest_listeners_age = 500ms;

// ---- TAP and frames ----
/// Frames taken from the TAP in one turn of the loop, so that sockets, control and timers get theirs.
inline constexpr std::size_t tap_batch = 64;
/// Largest frame: an Ethernet header and 64 KiB of IP (a TSO segment).
inline constexpr std::size_t frame_size = 14 + 65535;
/// Frames kept for a TAP that does not take them; the newest is dropped and counted.
inline constexpr std::size_t tap_backlog = 256;
/// Frames kept while the agent is asked whether their source address is new; more are dropped and counted.
inline constexpr std::size_t unknown_source_backlog = 32;
/// Time between two such questions; frames of unknown sources in between are dropped and counted.
inline constexpr auto unknown_source_pause = 100ms;
/// TCP segments of relays that came by the TAP and are written back, a second: one heals a flow; the others are dropped, TCP
/// sends them again.
inline constexpr std::uint32_t strays_per_second = 1000;
/// ICMP errors of ours to the guest a second (RFC 1812 4.3.2.8 asks for a limit); the rest are counted only.
inline constexpr std::uint32_t icmp_errors_per_second = 1000;

// ---- guard: reassembly of UDP and ICMP fragments ----
inline constexpr std::size_t reassembly_datagrams = 64;       ///< at once; the oldest is dropped and counted
inline constexpr std::size_t reassembly_bytes = 1024 * 1024;  ///< at once; the oldest is dropped and counted
inline constexpr std::size_t reassembly_fragments = 64;       ///< of one datagram; more drop the whole
inline constexpr auto reassembly_time = 15s;                  ///< ipfrag_time is 30 s in Linux; RFC 791 suggests 15

// ---- flows in libslirp ----
/// libslirp walks all its sockets in every turn; beyond this a new TCP flow is answered by RST and counted.
inline constexpr std::size_t slirp_tcp_flows = 16384;
/// Beyond this the first datagram of a new UDP flow is dropped and counted.
inline constexpr std::size_t slirp_udp_flows = 4096;
/// Echo requests under way; more are dropped and counted.
inline constexpr std::size_t slirp_icmp_flows = 256;
/// fds that flows never get: control connections, DNS, listeners to come, the log.
inline constexpr std::size_t reserved_fds = 64;

// ---- UDP forwards ----
inline constexpr std::size_t udp_forward_flows =
    16384;  ///< clients of all UDP forwards; the datagram of a new one is dropped and counted
inline constexpr auto udp_idle_unanswered = 30s;  ///< nf_conntrack_udp_timeout
inline constexpr auto udp_idle_answered = 120s;  ///< nf_conntrack_udp_timeout_stream; RFC 4787 REQ-5 asks for 2 min at least
inline constexpr std::size_t udp_batch = 64;     ///< reads of one socket in one turn; further datagrams wait for the next
/// Bytes asked for as SO_RCVBUF and SO_SNDBUF, of which the kernel gives net.core.rmem_max and wmem_max at most: a burst that
/// comes while others have their turn. 3,600 datagrams of full size; beyond it the kernel drops.
inline constexpr int udp_socket_buffer = 4 * 1024 * 1024;
inline constexpr std::size_t udp_stand_ins =
    1024;  ///< clients of services on the guest's loopback, one fd each; the datagram of a new one is dropped and counted
inline constexpr std::size_t udp_waiting_bytes =
    1024 * 1024;  ///< of all datagrams that wait for their stand-in; more are dropped and counted
inline constexpr std::size_t udp_errors = 64;  ///< ICMP errors taken from one socket in one turn; the rest wait for the next
inline constexpr std::size_t datagram = 65507;  ///< largest UDP payload over IPv4

// ---- relays ----
inline constexpr std::size_t relay_flows =
    131072;  ///< at once, connecting ones too; listeners pause, clients wait in their queues
inline constexpr std::size_t relay_buffer =
    64 * 1024;  ///< bytes of a copy; a source that has more at once is bulk and takes a pipe
inline constexpr std::size_t relay_small = 16 * 1024;  ///< a bulk source that brings fewer bytes at once is copied again
inline constexpr std::size_t relay_pipe =
    1024 * 1024;  ///< bytes of a pipe: pipe-max-size, the most that an unprivileged user gets (pipe(7))
inline constexpr std::size_t relay_pipes =
    32;  ///< at once: half of pipe-user-pages-soft, shared out equally among the main thread and relay threads; without one bytes are copied
inline constexpr std::size_t relay_idle_pipes = 8;  ///< that each thread keeps open for the next bulk flow
inline constexpr std::size_t relay_held =
    16 * 1024 *
    1024;  ///< copied bytes that wait for slow readers, all flows together, shared out as the pipes; then they wait in the kernel, for one more system call each
inline constexpr std::size_t relay_visit = 2 * 1024 * 1024;  ///< bytes that one direction moves before others get their turn
inline constexpr std::size_t relay_turn =
    4 * 1024 * 1024;                           ///< bytes that all of a thread move before it looks at everything else
inline constexpr auto busy_poll = 1ms;         ///< of --busy-poll; a longer time is refused
inline constexpr unsigned relay_threads = 16;  ///< of --relay-threads; a greater number is refused
inline constexpr std::size_t relay_large =
    1024 * 1024;  ///< bytes that a flow has moved one way; if it is bulk then, a relay thread gets it
inline constexpr auto relay_probe_idle = 120s;     ///< without a segment, then the peer is probed (TCP_KEEPIDLE)
inline constexpr auto relay_probe_interval = 30s;  ///< between probes (TCP_KEEPINTVL)
inline constexpr int relay_probes = 6;             ///< unanswered; then the peer is gone and the other side is reset
inline constexpr auto relay_last_bytes =
    250ms;  ///< after a reset of one side the other may take what was sent before; without progress for this time it is reset
inline constexpr std::size_t relay_accepts = 64;  ///< clients of one listener in one turn; the rest wait for the next
inline constexpr std::size_t relay_waiting =
    1024;  ///< clients that wait until stand-ins can be had; further ones wait in the listener's queue
inline constexpr auto relay_accept_pause = 100ms;  ///< listeners rest when the kernel has no fd or memory left

// ---- outbound connections ----
/// The guest sends a SYN again after this time (RFC 6298 2), later after twice what it was before at most; with none in time,
/// and the margin for a busy machine, it has given up, and so has the host's connection.
inline constexpr auto outbound_syn_again = 1s;
inline constexpr auto outbound_syn_margin = 100ms;
/// A stand-in has reached the guest within this time (normally well under 1 ms), else the steering is broken. Shorter than the
/// guest takes to send its SYN again.
inline constexpr auto outbound_open = 250ms;
/// Longer it takes only if its answer went astray. Then it stays for so long, which the guest's third copy of that answer fits
/// into (after 1, 3 and 7 s), and the connection is reset.
inline constexpr auto outbound_late = 8s;
/// A SYN that took the general path, or is to, does so whenever it comes again: known for so long after it was last seen (with
/// tcp_syn_retries 6 a connect takes 127 s), and so many at once; of more the oldest are forgotten.
inline constexpr auto outbound_general_syn = 130s;
inline constexpr std::size_t outbound_general_syns = 4096;
/// And all SYNs do until the steering is proved: again after this time, twice as long after each failure in a row, and at
/// most so long. So many good connections in a row end the row.
inline constexpr auto outbound_hold = 1s;
inline constexpr auto outbound_hold_most = 60s;
inline constexpr unsigned outbound_trusted = 16;

/// --kernel-path=require: it is known within this time whether it can be had, else the start fails.
inline constexpr auto kernel_path_wait = 8s;

// ---- forwards ----
inline constexpr std::size_t forwards =
    4096;  ///< listeners of all rules, a descriptor each; a rule that does not fit is refused
inline constexpr std::size_t udp_reverse_flows =
    1024;  ///< clients in the guest of UDP reverse rules, a descriptor each; a new one's datagram is dropped and counted

// ---- DNS ----
inline constexpr std::size_t dns_queries = 1024;    ///< under way; the newest is dropped and counted
inline constexpr std::size_t dns_resolvers = 8;     ///< of resolv.conf or --dns; more are ignored with a log line
inline constexpr auto dns_try = 1500ms;             ///< after this the next resolver is asked too
inline constexpr auto dns_give_up = 10s;            ///< then the query is answered by SERVFAIL
inline constexpr auto dns_dead = 20s;               ///< a resolver that did not answer is asked last for this time
inline constexpr std::size_t dns_tcp_clients = 64;  ///< TCP connections of the guest; more are closed at once
inline constexpr auto dns_tcp_idle = 10s;           ///< then closed (RFC 7766 6.2.3: seconds)
inline constexpr std::size_t dns_query_bytes =
    4 * 1024 * 1024;  ///< of all queries under way; the newest is dropped and counted
inline constexpr std::size_t dns_tcp_pipeline =
    8;  ///< queries of one TCP connection under way; further ones are not read meanwhile
inline constexpr std::size_t dns_tcp_output =
    256 * 1024;  ///< bytes of answers that wait for a client who does not read; then closed
inline constexpr std::size_t dns_ignored_answers =
    64;                                          ///< answers to one query that do not fit it; then that resolver has failed
inline constexpr auto dns_resolv_check = 200ms;  ///< how often resolv.conf is looked at, on a query
inline constexpr std::size_t dns_resolv_conf = 64 * 1024;  ///< bytes of resolv.conf that are read
inline constexpr auto dns_accept_pause = 100ms;            ///< the TCP listeners rest when the host has no fd or memory left

// ---- control socket ----
inline constexpr std::size_t control_clients = 32;  ///< at once; more are closed at once, counted
inline constexpr std::size_t control_request =
    256 * 1024;  ///< bytes of one request: all rules that there can be, as strings; then an error and the end
inline constexpr std::size_t control_depth = 16;     ///< nesting of a request
inline constexpr std::size_t control_values = 8192;  ///< values in a request: some 800 rules as objects; a few ms of parsing
inline constexpr std::size_t control_members = 256;  ///< members of one object in it, which are compared one with each other
inline constexpr std::size_t control_flows =
    150;  ///< flows in one reply of flow.list: a millisecond of the loop (6 us each, 320 bytes); the client asks again for more
inline constexpr std::size_t control_events =
    1024 * 1024;  ///< bytes of events that wait for a subscriber who does not read; then the end
inline constexpr auto control_request_time = 5s;  ///< from its first byte to its last; then an error and the end
inline constexpr auto control_idle = 30s;         ///< between requests; then the end
inline constexpr auto control_reply_time =
    5s;  ///< for a client to take a reply; then the end. While one waits nothing is read
inline constexpr std::size_t control_request_slirp4netns =
    4095;  ///< bytes of one request under slirp4netns's name: its buffer; then an error
inline constexpr std::size_t control_read =
    16 * 1024;                                      ///< bytes taken from one client in one turn; the rest waits for the next
inline constexpr std::size_t control_accepts = 16;  ///< connections accepted in one turn; the rest wait for the next
inline constexpr auto control_accept_pause = 100ms;  ///< when no fd is left for a client

// ---- OCI hook ----
inline constexpr std::size_t oci_state = 1024 * 1024;       ///< bytes of the state on standard input; more are an error
inline constexpr auto oci_state_wait = 10s;                 ///< from the hook's start to the end of the state; then an error
inline constexpr std::size_t oci_config = 4 * 1024 * 1024;  ///< bytes of config.json; a larger one is not looked at
inline constexpr std::size_t oci_depth = 32;                ///< nesting of both
inline constexpr std::size_t oci_values = 16384;            ///< values in each; a seccomp profile has some thousand
inline constexpr auto oci_start = 10s;          ///< the helper must be ready within this time, else it is killed: an error
inline constexpr auto oci_lock_wait = 2s;       ///< for a helper of the container's namesake, just deleted, to end
inline constexpr std::size_t oci_sweep = 1024;  ///< left-overs of others that one hook looks at; the rest waits for the next
inline constexpr auto oci_stop = 5s;            ///< for a helper to end at poststop; then it is killed
inline constexpr std::size_t oci_log = 1024 * 1024;  ///< bytes of a helper's log file; further lines are lost
inline constexpr std::size_t oci_reason = 4096;      ///< bytes of it that the hook quotes when the start fails

}  // namespace nh::limits
