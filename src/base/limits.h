// SPDX-License-Identifier: BSD-3-Clause
// Every limit of the helper. The comment of each says what it is and its unit, what happens at it, and where the number comes
// from: a standard, the kernel, a measurement; without one it is our choice. netns-helper-limits.7 has the same table, and a test
// compares the numbers. "Counted" means: in the counters of `info`. A turn is one pass of the main loop (src/loop/loop.h).
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace nh::limits {

using namespace std::chrono_literals;

// ---- log ----
/// Bytes of one log line, the newline included; a longer one is cut. PIPE_BUF: a write of this size into a pipe is atomic (pipe(7)).
inline constexpr std::size_t log_line = 4096;
/// Of messages with one key (log.h, rate_limited) one is written in this time; the others are counted, and the next one says how
/// many there were.
inline constexpr auto log_window = 1s;

// ---- attaching to the guest ----
/// The agent must have joined the namespaces and configured the interface within this time, else the start fails.
inline constexpr auto agent_start = 5s;
/// An agent that was told to end gets this time to remove what it has configured; then it is killed.
inline constexpr auto agent_stop = 500ms;
/// After an event of the interface the agent waits this long for further ones before it reads addresses and routes again: a guest
/// that changes them without end costs one reading in this time.
inline constexpr auto agent_event_pause = 20ms;
/// The kernel must deliver to an IPv6 address within this time after it was added (normally microseconds), else a warning is logged.
inline constexpr auto local_route_wait = 500ms;
/// A TAP must arrive on --tap-socket within this time, else the start fails.
inline constexpr auto tap_socket_wait = 30s;
/// bwrap must have written its info to --bwrap-info-fd within this time, else the start fails.
inline constexpr auto bwrap_info_wait = 30s;
/// Bytes of that info; with more the start fails. bwrap 0.11 writes some 200.
inline constexpr std::size_t bwrap_info = 64 * 1024;
/// Time between two checks of a --netns path; the helper ends when the path is gone or leads to another namespace.
inline constexpr auto netns_path_check = 250ms;
/// Addresses of the TAP that the helper knows; further ones are ignored, and a line is logged.
inline constexpr std::size_t tap_addresses = 64;

// ---- steering and stand-ins ----
/// nf_tables must accept or refuse a batch within this time (it may load a kernel module first), else there is no steering.
inline constexpr auto nftables_answer = 3s;
/// Numbers of routing tables that are tried for ours; when all are in use, there is no steering.
inline constexpr std::uint32_t steering_tables = 64;
/// The connection that proves the steering must be established within this time, else the steering is off.
inline constexpr auto steering_proof = 500ms;
/// Least time between two repairs of rules that the guest has removed: a guest that removes them without end costs one repair in it.
inline constexpr auto steering_repair_pause = 250ms;
/// Least time between two proofs when the last one failed and addresses or routes have changed since.
inline constexpr auto steering_retry_pause = 2s;
/// The same when one direction was proved (the guest's own connections, or those from outside): the other one most likely fails
/// because of the guest's firewall, and a proof delays the agent's other work.
inline constexpr auto steering_firewall_pause = 10s;
/// A guest whose TAP has no address and no route yet may get them within this time after the start, while clients of TCP forwards
/// wait. Then libslirp carries the forwards until the address is there.
inline constexpr auto steering_address_wait = 2s;
/// Unbound stand-ins of each family that the helper keeps; when fewer than half are left, more are requested. A burst of connects
/// takes about as many. Each is a descriptor and 3 KiB of kernel memory (measured).
inline constexpr std::size_t stand_in_stock = 64;
/// Connections that wait for a stand-in; a further one gets none: a client is reset, a connection of the guest takes the general path.
inline constexpr std::size_t stand_in_waiting = 4096;
/// A connection that has no stand-in after this time fails.
inline constexpr auto stand_in_wait = 5s;
/// The guest's ip_local_port_range is read again after this time.
inline constexpr auto port_range_age = 1s;
/// Messages that the agent keeps while the helper does not read them; then the agent reads no further request.
inline constexpr std::size_t agent_outbox = 16;
/// Listening ports of the guest that `auto` rules follow; further ones get no forward.
inline constexpr std::size_t guest_listeners = 512;
/// Time between two readings of the guest's listening ports, while a rule follows them.
inline constexpr auto guest_listeners_age = 500ms;

// ---- TAP and frames ----
/// Frames read from the TAP in one turn; the rest wait for the next one, so that sockets, control socket and timers are served.
inline constexpr std::size_t tap_batch = 64;
/// Bytes of the largest frame: an Ethernet header and 64 KiB of IP (a TSO segment); a larger one is ignored.
inline constexpr std::size_t frame_size = 14 + 65535;
/// Frames that wait while the TAP takes none; a further one is dropped and counted.
inline constexpr std::size_t tap_backlog = 256;
/// Frames that wait while the agent is asked whether their source address is a new one of the guest; a further one is dropped and
/// counted.
inline constexpr std::size_t unknown_source_backlog = 32;
/// Least time between two such questions; frames of unknown sources in between are dropped and counted.
inline constexpr auto unknown_source_pause = 100ms;
/// TCP segments a second that belong to relays, came by the TAP, and are written back to it; further ones are dropped. One
/// restores a flow, and TCP retransmits the others.
inline constexpr std::uint32_t strays_per_second = 1000;
/// ICMP errors a second that we send to the guest; further ones are only counted. RFC 1812 4.3.2.8 requires such a limit.
inline constexpr std::uint32_t icmp_errors_per_second = 1000;

// ---- guard: reassembly of UDP and ICMP fragments ----
/// Datagrams under reassembly; at one more the oldest is dropped and counted.
inline constexpr std::size_t reassembly_datagrams = 64;
/// Bytes of all datagrams under reassembly; beyond them the oldest datagram is dropped and counted.
inline constexpr std::size_t reassembly_bytes = 1024 * 1024;
/// Fragments of one datagram; at one more the datagram is dropped and counted.
inline constexpr std::size_t reassembly_fragments = 64;
/// A datagram that is not complete after this time is dropped and counted. RFC 791 suggests 15 s; Linux waits 30 (ipfrag_time).
inline constexpr auto reassembly_time = 15s;

// ---- flows in libslirp ----
// RLIMIT_NOFILE also bounds them. While all sockets that libslirp may have are open, the listeners of its forwards pause.
/// TCP flows; a further SYN of the guest is answered by RST and counted. libslirp walks all its sockets in every turn.
inline constexpr std::size_t slirp_tcp_flows = 16384;
/// UDP flows, which libslirp keeps for 240 s after their last datagram; the first datagram of a further one is dropped and counted.
inline constexpr std::size_t slirp_udp_flows = 4096;
/// ICMP echo flows; the request of a further one is dropped and counted.
inline constexpr std::size_t slirp_icmp_flows = 256;
/// Descriptors of RLIMIT_NOFILE that flows never get. They are for control connections, DNS, new listeners and the log.
inline constexpr std::size_t reserved_fds = 64;

// ---- UDP forwards ----
/// Clients of all UDP forwards; the datagram of a further one is dropped and counted.
inline constexpr std::size_t udp_forward_flows = 16384;
/// A client whom the guest has not answered is forgotten after this time without a datagram, as by nf_conntrack_udp_timeout.
inline constexpr auto udp_idle_unanswered = 30s;
/// A client whom the guest has answered is forgotten after this time without a datagram, as by nf_conntrack_udp_timeout_stream.
/// RFC 4787 REQ-5 requires 2 minutes at least.
inline constexpr auto udp_idle_answered = 120s;
/// Reads of one socket in one turn; further datagrams wait for the next one.
inline constexpr std::size_t udp_batch = 64;
/// Bytes asked for as SO_RCVBUF and SO_SNDBUF; the kernel gives net.core.rmem_max and wmem_max at most, and drops what does not
/// fit. Room for 3,600 datagrams of full size that arrive while others are served.
inline constexpr int udp_socket_buffer = 4 * 1024 * 1024;
/// Clients of UDP services on the guest's loopback, one descriptor each; the datagram of a further one is dropped and counted.
inline constexpr std::size_t udp_stand_ins = 1024;
/// Bytes of all datagrams that wait for the stand-in of their flow; what does not fit is dropped and counted.
inline constexpr std::size_t udp_waiting_bytes = 1024 * 1024;
/// ICMP errors read from one socket in one turn; the rest wait for the next one.
inline constexpr std::size_t udp_errors = 64;
/// Bytes of the largest datagram, that of UDP over IPv4 (65535 - 20 - 8); a larger one is dropped and counted.
inline constexpr std::size_t datagram = 65507;

// ---- relays ----
/// TCP flows on the kernel path, connecting ones included. At the limit listeners pause, clients wait in the kernel's accept
/// queues, and the guest's own connections take the general path.
inline constexpr std::size_t relay_flows = 131072;
/// Bytes of one copy; a direction whose source has more than this ready is spliced through a pipe.
inline constexpr std::size_t relay_buffer = 64 * 1024;
/// Bytes; a spliced direction that yields fewer at once is copied again.
inline constexpr std::size_t relay_small = 16 * 1024;
/// Bytes of a pipe: fs.pipe-max-size, the most that an unprivileged user gets (pipe(7)).
inline constexpr std::size_t relay_pipe = 1024 * 1024;
/// Pipes of all threads, in equal shares of the main thread and each relay thread; a direction that gets none is copied. Half of
/// fs.pipe-user-pages-soft (16384 pages, pipe(7)), which all processes of a user share.
inline constexpr std::size_t relay_pipes = 32;
/// Empty pipes that each thread keeps open for the next flow; a further one is closed.
inline constexpr std::size_t relay_idle_pipes = 8;
/// Copied bytes of all flows that wait for slow readers, in shares like those of the pipes; beyond them the bytes stay in the
/// kernel's receive buffers, at the cost of one more system call each time.
inline constexpr std::size_t relay_held = 16 * 1024 * 1024;
/// Bytes that one direction of a flow moves before other flows are served.
inline constexpr std::size_t relay_visit = 2 * 1024 * 1024;
/// Bytes that all flows of a thread move before it serves everything else.
inline constexpr std::size_t relay_turn = 4 * 1024 * 1024;
/// Time; a greater argument of --busy-poll is refused.
inline constexpr auto busy_poll = 1ms;
/// Threads; a greater argument of --relay-threads is refused.
inline constexpr unsigned relay_threads = 16;
/// Bytes; a flow that has moved as many in one direction, and is spliced then, is handed to a relay thread.
inline constexpr std::size_t relay_large = 1024 * 1024;
/// A connection without a segment of the peer for this time is probed (TCP_KEEPIDLE, tcp(7)).
inline constexpr auto relay_probe_idle = 120s;
/// Time between two probes (TCP_KEEPINTVL).
inline constexpr auto relay_probe_interval = 30s;
/// Probes without an answer (TCP_KEEPCNT); then the kernel ends that connection, and we reset the other one.
inline constexpr int relay_probes = 6;
/// When one side has reset its connection, the other may still read what was sent before; when nothing has moved for this time, it
/// is reset too.
inline constexpr auto relay_last_bytes = 250ms;
/// Clients accepted from one listener in one turn; the rest wait for the next one.
inline constexpr std::size_t relay_accepts = 64;
/// Accepted clients that wait until the agent is ready to give stand-ins; further ones wait in the kernel's accept queue.
inline constexpr std::size_t relay_waiting = 1024;
/// Listeners pause for this time when accept(2) finds no descriptor or memory.
inline constexpr auto relay_accept_pause = 100ms;

// ---- outbound connections ----
/// The guest retransmits a SYN after this time (RFC 6298 2), and later after at most twice the time before. When no copy comes in
/// that time and outbound_syn_margin, the guest has given up, and the host's connection is closed.
inline constexpr auto outbound_syn_again = 1s;
/// Time added to the one in which the guest's SYN is expected, for a busy machine.
inline constexpr auto outbound_syn_margin = 100ms;
/// A stand-in must be connected to the guest within this time (normally well under 1 ms), else the steering counts as broken, and
/// new connections take the general path. Less than outbound_syn_again, so that the next SYN finds that decided.
inline constexpr auto outbound_open = 250ms;
/// A stand-in that is not connected by then, because the guest's SYN-ACK was lost, stays for this time; then the connection is
/// reset. The guest retransmits its SYN-ACK after 1, 3 and 7 s.
inline constexpr auto outbound_late = 8s;
/// The copies of a SYN that took the general path take it too; the SYN is remembered for this time after the last copy. With
/// tcp_syn_retries 6 (ip-sysctl.rst) a connect(2) lasts 127 s.
inline constexpr auto outbound_general_syn = 130s;
/// SYNs that are remembered so; of more the oldest is forgotten.
inline constexpr std::size_t outbound_general_syns = 4096;
/// When the steering has broken again, all SYNs take the general path until it is proved, first after this time. Exponential
/// back-off: each failure in a row doubles it.
inline constexpr auto outbound_hold = 1s;
/// The greatest value of that time.
inline constexpr auto outbound_hold_most = 60s;
/// Connections that open in a row; then the back-off starts from outbound_hold again.
inline constexpr unsigned outbound_trusted = 16;
/// With --kernel-path=require it must be known within this time whether the kernel path works, else the start fails.
inline constexpr auto kernel_path_wait = 8s;

// ---- forwards ----
/// Listeners of all rules, one descriptor each; a rule that does not fit is refused.
inline constexpr std::size_t forwards = 4096;
/// Clients in the guest of UDP reverse forwards, one descriptor each; the datagram of a further one is dropped and counted.
inline constexpr std::size_t udp_reverse_flows = 1024;

// ---- DNS ----
/// Queries that await an answer; a further one is dropped and counted.
inline constexpr std::size_t dns_queries = 1024;
/// Resolvers of resolv.conf or --dns; further ones are ignored, and a line is logged.
inline constexpr std::size_t dns_resolvers = 8;
/// When no answer has come in this time, the next resolver is asked too.
inline constexpr auto dns_try = 1500ms;
/// A query without an answer after this time is answered by SERVFAIL.
inline constexpr auto dns_give_up = 10s;
/// A resolver that did not answer is asked after all others for this time.
inline constexpr auto dns_dead = 20s;
/// TCP connections of the guest; a further one is closed at once and counted.
inline constexpr std::size_t dns_tcp_clients = 64;
/// A TCP connection without a query for this time is closed (RFC 7766 6.2.3: "a few seconds").
inline constexpr auto dns_tcp_idle = 10s;
/// Bytes of all queries that await an answer; a query that does not fit is dropped and counted.
inline constexpr std::size_t dns_query_bytes = 4 * 1024 * 1024;
/// Queries of one TCP connection that await an answer; further ones are not read meanwhile.
inline constexpr std::size_t dns_tcp_pipeline = 8;
/// Bytes of answers that wait for a TCP client that does not read; beyond them its connection is closed.
inline constexpr std::size_t dns_tcp_output = 256 * 1024;
/// Datagrams from a resolver that do not answer the query; then that resolver has failed for this query.
inline constexpr std::size_t dns_ignored_answers = 64;
/// Least time between two checks of resolv.conf, which queries cause.
inline constexpr auto dns_resolv_check = 200ms;
/// Bytes of resolv.conf that are read; the rest is ignored.
inline constexpr std::size_t dns_resolv_conf = 64 * 1024;
/// The TCP listeners pause for this time when accept(2) finds no descriptor or memory.
inline constexpr auto dns_accept_pause = 100ms;

// ---- control socket ----
/// Connections; a further one is closed at once and counted.
inline constexpr std::size_t control_clients = 32;
/// Bytes of one request, enough for all rules that there can be as strings; a longer one gets an error, and the connection is closed.
inline constexpr std::size_t control_request = 256 * 1024;
/// Levels of nested objects and arrays in a request; a deeper one gets an error.
inline constexpr std::size_t control_depth = 16;
/// Values in a request: some 800 rules as objects, and a few milliseconds of parsing; one with more gets an error.
inline constexpr std::size_t control_values = 8192;
/// Members of one object in a request; one with more gets an error. Their names are compared each with each.
inline constexpr std::size_t control_members = 256;
/// Flows in one reply to flow.list, a millisecond of the main loop (measured: 6 us and 320 bytes each); the client asks again for
/// the next ones.
inline constexpr std::size_t control_flows = 150;
/// Bytes of events that wait for a subscriber that does not read; beyond them its connection is closed and counted.
inline constexpr std::size_t control_events = 1024 * 1024;
/// Time from a request's first byte to its last; then it gets an error, and the connection is closed.
inline constexpr auto control_request_time = 5s;
/// A connection without a request for this time is closed.
inline constexpr auto control_idle = 30s;
/// Time for a client to read a reply; then the connection is closed. No further request is read meanwhile.
inline constexpr auto control_reply_time = 5s;
/// Bytes of one request under slirp4netns's name; a longer one gets an error. The size of slirp4netns's buffer (its api.c).
inline constexpr std::size_t control_request_slirp4netns = 4095;
/// Bytes read from one client in one turn; the rest wait for the next one.
inline constexpr std::size_t control_read = 16 * 1024;
/// Connections accepted in one turn; the rest wait for the next one.
inline constexpr std::size_t control_accepts = 16;
/// The listener pauses for this time when accept(2) finds no descriptor or memory.
inline constexpr auto control_accept_pause = 100ms;

// ---- OCI hook ----
/// Bytes of the state on standard input; with more the hook fails.
inline constexpr std::size_t oci_state = 1024 * 1024;
/// Time from the hook's start to the end of the state; then the hook fails.
inline constexpr auto oci_state_wait = 10s;
/// Bytes of config.json; with more the hook fails.
inline constexpr std::size_t oci_config = 4 * 1024 * 1024;
/// Levels of nested objects and arrays in the state and in config.json; with more it is an error.
inline constexpr std::size_t oci_depth = 32;
/// Values in each of the two; with more it is an error. A seccomp profile has some thousand.
inline constexpr std::size_t oci_values = 16384;
/// The helper must be ready within this time after the hook has started it, else it is killed, and the hook fails.
inline constexpr auto oci_start = 10s;
/// The hook waits this long for the helper of a deleted container of the same name to end; then it fails.
inline constexpr auto oci_lock_wait = 2s;
/// Directories of other containers that one hook checks for left-overs; the next hook checks the rest.
inline constexpr std::size_t oci_sweep = 1024;
/// At poststop the helper gets this time to end; then it is killed.
inline constexpr auto oci_stop = 5s;
/// Bytes of a helper's log file; further lines are lost.
inline constexpr std::size_t oci_log = 1024 * 1024;
/// Bytes of the log file's end that the hook quotes when the start fails.
inline constexpr std::size_t oci_reason = 4096;

}  // namespace nh::limits
