// SPDX-License-Identifier: BSD-3-Clause
#include "src/confine/syscall_filter.h"

#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <climits>
#include <csignal>

#include "src/confine/confine.h"
#include "src/confine/syscall_list.h"
#include "tests/confine/confined.h"
#include "tests/support/catch.h"

namespace nh {
namespace {

using test::killed_by_filter;
using test::wait_status;

using Arguments = std::array<long, 6>;

constexpr pid_t agent = INT_MAX;  // beyond every pid (PID_MAX_LIMIT is 2^22)

/// How the helper's filter answers a call: -1: killed; else the errno, or 0.
int helper_answers(long number, const Arguments& a = {}) {
  const int status = wait_status([&] {
    const auto confined = EXPECT_OK(confine_helper({.seccomp = true, .agent = agent}));
    EXPECT(confined.seccomp);
    const long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    syscall(SYS_exit_group, result == -1 ? errno : 0);
  });
  if (killed_by_filter(status)) return -1;
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int agent_answers(long number, const Arguments& a = {}) {
  const int status = wait_status([&] {
    EXPECT_OK(confine_agent({.seccomp = true}));
    const long result = syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    syscall(SYS_exit_group, result == -1 ? errno : 0);
  });
  if (killed_by_filter(status)) return -1;
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

long address(const void* pointer) {
  return static_cast<long>(reinterpret_cast<std::uintptr_t>(pointer));
}

constexpr int killed = -1;

// What slirp4netns's filter blocks, and what else would open a way out.
const char* const forbidden[] = {"execve",
                                 "execveat",
                                 "lookup_dcookie",
                                 "pidfd_getfd",
                                 "ptrace",
                                 "process_vm_readv",
                                 "process_vm_writev",
                                 "delete_module",
                                 "finit_module",
                                 "init_module",
                                 "chroot",
                                 "fsconfig",
                                 "fsmount",
                                 "fsopen",
                                 "fspick",
                                 "mount",
                                 "move_mount",
                                 "open_tree",
                                 "pivot_root",
                                 "umount2",
                                 "open_by_handle_at",
                                 "name_to_handle_at",
                                 "pidfd_open",
                                 "pidfd_send_signal",
                                 "prctl",
                                 "setns",
                                 "unshare",
                                 "kexec_file_load",
                                 "kexec_load",
                                 "reboot",
                                 "clone",
                                 "fork",
                                 "vfork",
                                 "bpf",
                                 "io_uring_setup",
                                 "userfaultfd",
                                 "perf_event_open",
                                 "keyctl",
                                 "add_key",
                                 "memfd_create",
                                 "shmget",
                                 "socketpair",
                                 "dup",
                                 "dup2",
                                 "dup3",
                                 "capset",
                                 "setuid",
                                 "seccomp",
                                 "unlink",
                                 "rename",
                                 "mkdirat",
                                 "symlinkat",
                                 "linkat",
                                 "fchmodat",
                                 "mount_setattr",
                                 "personality",
                                 "prlimit64",
                                 "setrlimit",
                                 "tkill",
                                 "rt_sigqueueinfo",
                                 "chdir",
                                 "getdents64"};

TEST_CASE("every name in the lists is that of a system call", "[seccomp]") {
  // A name that this libseccomp does not know gives __NR_SCMP_ERROR; a call that another architecture has and this one has not
  // gives a negative number of its own (seccomp_syscall_resolve_name(3)).
  REQUIRE(seccomp_syscall_resolve_name("sched_yeild") == __NR_SCMP_ERROR);
  REQUIRE(seccomp_syscall_resolve_name("sigreturn") != __NR_SCMP_ERROR);
  const SyscallSubjects subjects{.own_pid = getpid(), .agent = agent};
  for (const auto& rules : {helper_syscalls(subjects), agent_syscalls(subjects)})
    for (const SyscallRule& rule : rules) {
      INFO(rule.name);
      CHECK(seccomp_syscall_resolve_name(rule.name) != __NR_SCMP_ERROR);
    }
}

TEST_CASE("every forbidden system call ends the process", "[seccomp]") {
#ifdef NETNS_HELPER_SANITIZED
  return;  // the sanitizers need some of them
#endif
  int tried = 0;
  for (const char* name : forbidden) {
    const int number = seccomp_syscall_resolve_name(name);
    INFO(name);
    REQUIRE(number != __NR_SCMP_ERROR);  // misspelt
    if (number < 0) continue;            // this architecture has no such call
    CHECK(helper_answers(number) == killed);
    CHECK(agent_answers(number) == killed);
    ++tried;
  }
  CHECK(tried > 50);
}

TEST_CASE("calls that libraries only try are answered by the error that makes them go on", "[seccomp]") {
  for (const char* name : {"clone3", "openat2", "statx", "faccessat2"}) {
    INFO(name);
    const int number = seccomp_syscall_resolve_name(name);
    REQUIRE(number >= 0);
    CHECK(helper_answers(number) == ENOSYS);
    CHECK(agent_answers(number) == ENOSYS);
  }
  for (const long family : {AF_INET, AF_INET6})
    CHECK(helper_answers(SYS_socket, {family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP}) == EPERM);
#ifndef NETNS_HELPER_SANITIZED  // which open files for their reports
  CHECK(agent_answers(SYS_openat, {AT_FDCWD, address("/"), O_RDONLY}) == EACCES);
#endif
}

TEST_CASE("sockets are of the Internet's families", "[seccomp]") {
  for (const long family : {AF_INET, AF_INET6})
    for (const long type : {SOCK_STREAM, SOCK_DGRAM})
      CHECK(helper_answers(SYS_socket, {family, type | SOCK_NONBLOCK | SOCK_CLOEXEC}) == 0);
  for (const long family : {AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_KEY}) {
    INFO(family);
    CHECK(helper_answers(SYS_socket, {family, SOCK_STREAM}) == killed);
    CHECK(helper_answers(SYS_socket, {family, SOCK_RAW}) == killed);
  }
  CHECK(helper_answers(SYS_socket, {AF_INET, SOCK_SEQPACKET}) == killed);
  // The agent makes the guest's side of relays, and nothing else any more.
  for (const long family : {AF_INET, AF_INET6})
    for (const long type : {SOCK_STREAM, SOCK_DGRAM})
      CHECK(agent_answers(SYS_socket, {family, type | SOCK_NONBLOCK | SOCK_CLOEXEC}) == 0);
  for (const long family : {AF_UNIX, AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_KEY}) {
    INFO(family);
    CHECK(agent_answers(SYS_socket, {family, SOCK_STREAM}) == killed);
    CHECK(agent_answers(SYS_socket, {family, SOCK_RAW}) == killed);
  }
}

TEST_CASE("files are opened to read, by a path from the root", "[seccomp]") {
#ifdef NETNS_HELPER_SANITIZED
  return;
#endif
  const long path = address("/etc/resolv.conf");
  CHECK(helper_answers(SYS_openat, {AT_FDCWD, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY}) == 0);
  for (const long flags : {O_WRONLY, O_RDWR, O_CREAT, O_RDONLY | O_TRUNC, O_PATH, O_TMPFILE | O_RDWR, O_DIRECTORY}) {
    INFO(flags);
    CHECK(helper_answers(SYS_openat, {AT_FDCWD, path, flags}) == killed);
  }
  CHECK(helper_answers(SYS_openat, {3, address("resolv.conf"), O_RDONLY}) == killed);
}

TEST_CASE("no memory becomes a program", "[seccomp]") {
#ifdef NETNS_HELPER_SANITIZED
  return;
#endif
  constexpr long anonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  CHECK(helper_answers(SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, anonymous, -1}) == 0);
  CHECK(helper_answers(SYS_mmap, {0, 4096, PROT_READ | PROT_EXEC, anonymous, -1}) == killed);
  CHECK(helper_answers(SYS_mmap, {0, 4096, PROT_WRITE | PROT_EXEC, anonymous, -1}) == killed);
  CHECK(helper_answers(SYS_mprotect, {0, 0, PROT_EXEC}) == killed);
  CHECK(agent_answers(SYS_mprotect, {0, 0, PROT_EXEC}) == killed);
}

TEST_CASE("ioctl and fcntl are those that are listed", "[seccomp]") {
#ifdef NETNS_HELPER_SANITIZED
  return;
#endif
  CHECK(helper_answers(SYS_ioctl, {-1, FIONREAD}) == EBADF);
  CHECK(helper_answers(SYS_ioctl, {-1, SIOCGIFINDEX}) == EBADF);
  CHECK(helper_answers(SYS_ioctl, {2, TCGETS}) == ENOTTY);
  for (const long request : {TIOCSTI, SIOCSIFADDR, TIOCLINUX}) CHECK(helper_answers(SYS_ioctl, {-1, request}) == killed);
  CHECK(helper_answers(SYS_fcntl, {2, F_GETFD}) == 0);
  CHECK(helper_answers(SYS_fcntl, {2, F_SETOWN}) == killed);
  // Status flags are those of every duplicate: what the agent made must not become a trap for the helper.
  CHECK(agent_answers(SYS_fcntl, {-1, F_SETFL, O_NONBLOCK}) == EBADF);
  CHECK(agent_answers(SYS_fcntl, {-1, F_SETFL, O_NONBLOCK | O_RDWR}) == EBADF);
  CHECK(agent_answers(SYS_fcntl, {-1, F_SETFL, O_RDWR}) == killed);
  CHECK(agent_answers(SYS_ioctl, {-1, FIONBIO}) == killed);
}

TEST_CASE("signals go to the agent, to end it, and to ourselves", "[seccomp]") {
#ifdef NETNS_HELPER_SANITIZED
  return;
#endif
  CHECK(helper_answers(SYS_kill, {agent, SIGKILL}) == ESRCH);
  CHECK(helper_answers(SYS_kill, {agent, SIGTERM}) == killed);
  CHECK(helper_answers(SYS_kill, {getpid(), SIGKILL}) == killed);
  CHECK(helper_answers(SYS_tgkill, {getpid(), getpid(), 0}) == killed);
  const int status = wait_status([] {
    signal(SIGABRT, SIG_DFL);  // Catch2 has a handler of its own
    EXPECT_OK(confine_helper({.seccomp = true}));
    abort();
  });
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == SIGABRT);
}

#ifdef __x86_64__
/// getpid(2) by the 32-bit table; a kernel that has none (CONFIG_IA32_EMULATION, ia32_emulation=off) sends SIGSEGV.
void getpid_by_32_bit_table() {
  signal(SIGSEGV, SIG_DFL);  // Catch2 and the sanitizers have handlers that make an ordinary exit of it
  long number = 20;
  __asm__ volatile("int $0x80" : "+a"(number) : : "memory");
}

TEST_CASE("calls of the x32 and of the 32-bit table end the process", "[seccomp]") {
  // A kernel without the x32 table (CONFIG_X86_X32_ABI) asks the filter all the same.
  constexpr long x32 = 0x40000000;  // __X32_SYSCALL_BIT
  CHECK(helper_answers(x32 | SYS_getpid) == killed);

  const int unconfined = wait_status([] { getpid_by_32_bit_table(); });
  if (WIFSIGNALED(unconfined)) {
    CHECK(WTERMSIG(unconfined) == SIGSEGV);
    return test::not_tried_here("the 32-bit system call table: the kernel has none");
  }
  CHECK(unconfined == 0);
  const int confined = wait_status([] {
    EXPECT_OK(confine_helper({.seccomp = true}));
    getpid_by_32_bit_table();
  });
  CHECK(killed_by_filter(confined));
}
#endif

TEST_CASE("the version of libseccomp is told", "[seccomp]") {
  CHECK(seccomp_library_version().find('.') != std::string::npos);
}

}  // namespace
}  // namespace nh
