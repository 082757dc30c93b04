// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/syscall_list.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace nh {
namespace {

constexpr std::uint64_t all = UINT32_MAX;   // of an int: the kernel looks at these bits alone
constexpr std::uint64_t socket_type = 0xf;  // SOCK_TYPE_MASK of linux/net.h; the rest are SOCK_CLOEXEC and SOCK_NONBLOCK

using Rules = std::vector<SyscallRule>;

void allow(Rules& rules, std::initializer_list<const char*> names) {
  for (const char* name : names) rules.push_back({.name = name});
}

void answer(Rules& rules, int error, std::initializer_list<const char*> names) {
  for (const char* name : names) rules.push_back({.name = name, .error = error});
}

// The C and C++ run-time: memory, time, locks, the end.
void runtime(Rules& rules, const SyscallSubjects& subjects) {
  allow(rules, {"brk", "munmap", "mremap", "madvise"});
  // Memory, but never a program: without PROT_EXEC.
  for (const char* name : {"mmap", "mmap2", "mprotect"})
    rules.push_back({.name = name, .arguments = {{.index = 2, .mask = PROT_EXEC, .value = 0}}});
  // malloc's tcache and the hash tables of libnl and GLib
  allow(rules, {"getrandom"});
  // where the vDSO cannot answer (a clock source that user space does not reach)
  allow(rules, {"clock_gettime", "clock_gettime64", "gettimeofday", "time"});
  allow(rules, {"futex", "futex_time64", "sched_yield", "restart_syscall", "rt_sigreturn", "sigreturn"});
  allow(rules, {"exit", "exit_group"});
  // abort(): of ourselves only
  allow(rules, {"rt_sigprocmask", "rt_sigaction", "getpid", "gettid"});
  const auto own = static_cast<std::uint64_t>(subjects.own_pid);
  rules.push_back({.name = "tgkill", .arguments = {{.index = 0, .mask = all, .value = own}}});
  // libraries fall back to the older call on ENOSYS, and on nothing else
  answer(rules, ENOSYS,
         {"clone3", "openat2", "statx", "faccessat2", "rseq", "set_robust_list", "membarrier", "epoll_pwait2"});
#ifdef NETNS_HELPER_SANITIZED
  // the sanitizers' own: shadow memory, reports with stack traces, the leak check at the end
  allow(rules, {"mmap",
                "mprotect",
                "sigaltstack",
                "prlimit64",
                "sched_getaffinity",
                "clone",
                "wait4",
                "ptrace",
                "prctl",
                "readlink",
                "readlinkat",
                "openat",
                "open",
                "getdents64",
                "lseek",
                "newfstatat",
                "fstat",
                "stat",
                "dup",
                "dup2",
                "pipe2",
                "pipe",
                "getppid",
                "getuid",
                "geteuid",
                "getgid",
                "getegid",
                "process_vm_readv",
                "arch_prctl",
                "set_tid_address",
                "ioctl",
                "sysinfo",
                "uname",
                "kill",
                "access",
                "tgkill",
                "nanosleep",
                "clock_nanosleep"});
#endif
}

// Operations of both on open descriptors. The status flags `kept_status` can be set but not cleared.
void descriptors(Rules& rules, std::uint64_t kept_status) {
  allow(rules, {"read", "readv", "write", "writev", "close", "poll", "ppoll", "ppoll_time64"});
  allow(rules, {"sendto", "sendmsg", "recvfrom", "recvmsg", "getsockname", "getsockopt", "setsockopt"});
  for (const char* name : {"fcntl", "fcntl64"}) {
    for (const int command : {F_GETFL, F_GETFD, F_SETFD, F_DUPFD_CLOEXEC})
      rules.push_back(
          {.name = name, .arguments = {{.index = 1, .mask = all, .value = static_cast<std::uint64_t>(command)}}});
    SyscallRule status{.name = name, .arguments = {{.index = 1, .mask = all, .value = F_SETFL}}};
    if (kept_status != 0) status.arguments.push_back({.index = 2, .mask = kept_status, .value = kept_status});
    rules.push_back(std::move(status));
  }
}

void allow_socket(Rules& rules, int family, int type) {
  rules.push_back({.name = "socket",
                   .arguments = {{.index = 0, .mask = all, .value = static_cast<std::uint64_t>(family)},
                                 {.index = 1, .mask = socket_type, .value = static_cast<std::uint64_t>(type)}}});
}

void allow_ioctl(Rules& rules, std::initializer_list<unsigned long> requests) {
  for (const unsigned long request : requests)
    rules.push_back({.name = "ioctl", .arguments = {{.index = 1, .mask = all, .value = request}}});
}

// Flows, forwards, DNS: sockets of the Internet's families and no other, so that neither netlink
// nor anybody's Unix socket is reached.
void host_sockets(Rules& rules) {
  for (const int family : {AF_INET, AF_INET6})
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) allow_socket(rules, family, type);
  // libslirp tries a raw socket where ping sockets are refused (net.ipv4.ping_group_range), and
  // then does without
  for (const int family : {AF_INET, AF_INET6})
    rules.push_back({.name = "socket",
                     .error = EPERM,
                     .arguments = {{.index = 0, .mask = all, .value = static_cast<std::uint64_t>(family)},
                                   {.index = 1, .mask = socket_type, .value = SOCK_RAW}}});
  // a TCP connection of the guest's to the DNS forwarder
  rules.push_back({.name = "socketpair",
                   .arguments = {{.index = 0, .mask = all, .value = static_cast<std::uint64_t>(AF_UNIX)},
                                 {.index = 1, .mask = socket_type, .value = static_cast<std::uint64_t>(SOCK_STREAM)}}});
  allow(rules, {"bind", "connect", "listen", "accept", "accept4", "getpeername", "shutdown", "sendmmsg", "recvmmsg"});
  // how much waits to be read, to be sent, and for a window; non-blocking, where the urgent mark is; an interface by its
  // name, for a scoped name server
  allow_ioctl(rules, {FIONREAD, SIOCOUTQ, SIOCOUTQNSD, FIONBIO, SIOCATMARK, SIOCGIFINDEX});
  // a relay's bytes: from socket to socket through a pipe, a large one
  allow(rules, {"splice", "pipe2"});
  for (const char* name : {"fcntl", "fcntl64"})
    rules.push_back({.name = name, .arguments = {{.index = 1, .mask = all, .value = F_SETPIPE_SZ}}});
}

// The main loop, and the epoll of the data path.
void main_loop(Rules& rules) {
  allow(rules, {"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait"});
}

// resolv.conf, by the DNS forwarder and libslirp; the path of a target. Opened read-only and by path, never relative to a
// directory's descriptor.
void resolver_configuration(Rules& rules) {
  constexpr std::uint64_t forbidden = O_ACCMODE | O_CREAT | O_TRUNC | O_PATH | (O_TMPFILE & ~O_DIRECTORY) | O_DIRECTORY;
  const auto cwd = static_cast<std::uint64_t>(static_cast<std::uint32_t>(AT_FDCWD));
  rules.push_back(
      {.name = "openat",
       .arguments = {{.index = 0, .mask = all, .value = cwd}, {.index = 2, .mask = forbidden, .value = O_RDONLY}}});
  rules.push_back({.name = "open", .arguments = {{.index = 1, .mask = forbidden, .value = O_RDONLY}}});
  allow(rules, {"stat", "stat64", "fstat", "fstat64", "newfstatat", "fstatat64", "lseek", "_llseek"});
  // GLib asks whether standard error is a terminal
  rules.push_back({.name = "ioctl", .error = ENOTTY, .arguments = {{.index = 1, .mask = all, .value = TCGETS}}});
}

// The guest's range of local ports, read repeatedly from one descriptor.
void port_range(Rules& rules) {
  allow(rules, {"pread64"});
}

// The control socket's file, removed at the end, and the uid of a client.
void control_socket(Rules& rules) {
  allow(rules, {"unlinkat", "geteuid", "geteuid32"});
}

// Ending the agent and waiting for it.
void agent_end(Rules& rules, const SyscallSubjects& subjects) {
  allow(rules, {"wait4", "waitpid", "waitid"});
  if (subjects.agent > 0)
    rules.push_back({.name = "kill",
                     .arguments = {{.index = 0, .mask = all, .value = static_cast<std::uint64_t>(subjects.agent)},
                                   {.index = 1, .mask = all, .value = SIGKILL}}});
}

}  // namespace

Rules helper_syscalls(const SyscallSubjects& subjects) {
  Rules rules;
  runtime(rules, subjects);
  descriptors(rules, 0);
  host_sockets(rules);
  main_loop(rules);
  resolver_configuration(rules);
  port_range(rules);
  control_socket(rules);
  agent_end(rules, subjects);
  return rules;
}

// Stand-ins and the guest's listeners: sockets of the Internet's families in its own namespace. Bound here, connected here only
// to prove the steering and for UDP.
void guest_sockets(Rules& rules) {
  for (const int family : {AF_INET, AF_INET6})
    for (const int type : {SOCK_STREAM, SOCK_DGRAM}) allow_socket(rules, family, type);
  allow(rules, {"bind", "connect", "listen", "accept4"});
}

// The agent's sockets to the helper and of netlink are open already; it makes no other ones of these kinds.
Rules agent_syscalls(const SyscallSubjects& subjects) {
  Rules rules;
  runtime(rules, subjects);
  // O_NONBLOCK cannot be cleared: the helper has duplicates of the agent's sockets and must not block on them.
  descriptors(rules, O_NONBLOCK);
  guest_sockets(rules);
  // If the helper dies during the start, the agent undoes its changes in the guest's /proc/sys. After the change of root it
  // cannot, and must be able to go on and undo the rest.
  answer(rules, EACCES, {"openat", "open"});
  return rules;
}

}  // namespace nh
