// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/inside/process.h"

#include <linux/capability.h>

#include <algorithm>

#include "tests/netns_run/tree.h"
#include "tests/support/catch.h"

using namespace nh;
using namespace nh::run;
using namespace nh::test;

namespace {

std::string status_line(const std::string& name) {
  const std::string status = read_file("/proc/self/status");
  const auto begin = status.find("\n" + name + ":\t");
  if (begin == std::string::npos) return "";
  const auto value = begin + name.size() + 3;
  return status.substr(value, status.find('\n', value) - value);
}

void in_user_namespace(const std::function<void()>& body) {
  require_namespaces();
  CHECK(in_child([&] {
          enter_new_namespaces(CLONE_NEWUSER);
          body();
        }) == "");
}

/// What the command writes to its standard output.
std::string output_of(const ProcessPlan& plan) {
  Pipe out;
  const pid_t child = fork();
  if (child == 0) {
    dup2(out.write_end.get(), 1);
    (void)execute(plan);
    _exit(1);
  }
  out.write_end.reset();
  std::string text;
  std::array<char, 1024> part{};
  ssize_t size = 0;
  while ((size = read(out.read_end.get(), part.data(), part.size())) > 0)
    text.append(part.data(), static_cast<std::size_t>(size));
  waitpid(child, nullptr, 0);
  return text;
}

int exit_code_of(const std::string& command, const std::string& path = "/usr/bin:/bin") {
  ProcessPlan plan;
  plan.arguments = {command};
  plan.set_environment = {{"PATH", path}};
  return execute(plan).exit_code;
}

}  // namespace

TEST_CASE("by default no capability is left, nor a way to win one") {
  in_user_namespace([] {
    EXPECT(status_line("CapEff") != "0000000000000000");
    EXPECT_OK(become({}));
    for (const char* set : {"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"})
      EXPECT(status_line(set) == "0000000000000000");
    EXPECT(status_line("NoNewPrivs") == "1");
  });
}

TEST_CASE("each capability set is what the plan says") {
  in_user_namespace([] {
    ProcessPlan plan;
    plan.no_new_privileges = false;
    plan.capabilities = {.bounding = {CAP_NET_RAW, CAP_CHOWN, CAP_KILL},
                         .effective = {CAP_CHOWN},
                         .inheritable = {CAP_CHOWN, CAP_KILL},
                         .permitted = {CAP_CHOWN, CAP_KILL},
                         .ambient = {CAP_KILL}};
    EXPECT_OK(become(plan));
    EXPECT(status_line("CapBnd") == "0000000000002021");
    EXPECT(status_line("CapPrm") == "0000000000000021");
    EXPECT(status_line("CapEff") == "0000000000000001");
    EXPECT(status_line("CapInh") == "0000000000000021");
    EXPECT(status_line("CapAmb") == "0000000000000020");
    EXPECT(status_line("NoNewPrivs") == "0");
  });
}

TEST_CASE("what cannot be granted is left out: a number that no kernel has, an ambient capability that is not inheritable") {
  in_user_namespace([] {
    ProcessPlan plan;
    plan.capabilities = {.bounding = {CAP_KILL, 63},
                         .effective = {CAP_KILL, 63},
                         .inheritable = {},
                         .permitted = {CAP_KILL, 63},
                         .ambient = {CAP_KILL}};
    EXPECT_OK(become(plan));
    EXPECT(status_line("CapEff") == "0000000000000020");
    EXPECT(status_line("CapAmb") == "0000000000000000");
  });
}

TEST_CASE("limits, umask, session, working directory and oom score are set") {
  in_user_namespace([] {
    ProcessPlan plan;
    plan.limits = {{RLIMIT_NOFILE, {.rlim_cur = 100, .rlim_max = 200}}, {RLIMIT_CORE, {.rlim_cur = 0, .rlim_max = 0}}};
    plan.umask = 027;
    plan.new_session = true;
    plan.directory = "/usr";
    plan.oom_score_adj = 700;
    EXPECT_OK(become(plan));
    rlimit limit{};
    EXPECT(getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur == 100 && limit.rlim_max == 200);
    EXPECT(umask(0) == 027);
    EXPECT(getsid(0) == getpid());
    EXPECT(std::filesystem::current_path() == "/usr");
    EXPECT(read_file("/proc/self/oom_score_adj") == "700\n");
  });
}

TEST_CASE("errors name the step and the plan's member") {
  const auto field_of = [](const ProcessPlan& plan) {
    std::string field;
    require_namespaces();
    field = in_child([&] {
      enter_new_namespaces(CLONE_NEWUSER);
      const auto done = become(plan);
      throw Failed{done ? "no error" : done.error().field + " | " + done.error().message()};
    });
    return field;
  };
  ProcessPlan plan;
  plan.uid = 12345;
  CHECK(field_of(plan).starts_with("user | becoming uid 12345 (it is not mapped in the user namespace)"));
  plan = {};
  plan.gid = 12345;
  CHECK(field_of(plan).starts_with("user | becoming gid 12345"));
  plan = {};
  plan.groups = std::vector<gid_t>{7};
  CHECK(field_of(plan).starts_with("additionalGids | setting the supplementary groups (setgroups is denied"));
  plan = {};
  plan.directory = "/does/not/exist";
  CHECK(field_of(plan).starts_with("cwd | entering the working directory /does/not/exist"));
  plan = {};
  plan.limits = {{RLIMIT_NOFILE, {.rlim_cur = 2, .rlim_max = 1}}};
  CHECK(field_of(plan).starts_with("rlimits | "));
}

TEST_CASE("the environment: inherited, unset, set, cleared; a PWD that was inherited tells the truth") {
  const std::vector<std::string> inherited{"A=1", "B=2", "PWD=/elsewhere", "AB=3"};
  ProcessPlan plan;
  CHECK(environment_of(plan, inherited, "/here") == std::vector<std::string>{"A=1", "B=2", "PWD=/here", "AB=3"});
  plan.unset_environment = {"B"};
  plan.set_environment = {{"A", "9"}, {"C", ""}, {"C", "x=y"}};
  CHECK(environment_of(plan, inherited, "/here") == std::vector<std::string>{"PWD=/here", "AB=3", "A=9", "C=x=y"});
  plan.clear_environment = true;
  CHECK(environment_of(plan, inherited, "/here") == std::vector<std::string>{"A=9", "C=x=y"});
  plan.set_environment = {{"PWD", "/told"}};
  CHECK(environment_of(plan, inherited, "/here") == std::vector<std::string>{"PWD=/told"});
}

TEST_CASE("the command gets its arguments and environment, and is looked up in its own PATH") {
  ProcessPlan plan;
  plan.arguments = {"sh", "-c", "echo \"$0 $1 $GREETING $HOME\"", "zero", "one two"};
  plan.clear_environment = true;
  plan.set_environment = {{"PATH", "/usr/bin:/bin"}, {"GREETING", "hello"}};
  CHECK(output_of(plan) == "zero one two hello \n");
  plan.set_environment = {{"PATH", "/does/not/exist"}};
  CHECK(output_of(plan).empty());
}

TEST_CASE("a command that cannot run ends with 127 or 126, and why") {
  const Tree tree;
  tree.write("plain", "no program");
  tree.write("orphan", "#!/does/not/exist\n");
  chmod(tree.at("orphan").c_str(), 0755);
  // Where the shell would try it as a script, an empty PATH entry of ours must not find it; the files have no execute bit.
  CHECK(exit_code_of("does-not-exist") == exit_not_found);
  CHECK(exit_code_of("/does/not/exist") == exit_not_found);
  CHECK(exit_code_of(tree.at("marker/below")) == exit_not_found);
  CHECK(exit_code_of(tree.at("plain")) == exit_not_executable);
  CHECK(exit_code_of("plain", tree.path()) == exit_not_executable);
  CHECK(exit_code_of(tree.path()) == exit_not_executable);
  ProcessPlan plan;
  CHECK(execute(plan).exit_code == exit_own_failure);
  CHECK(execute(plan).error.what == "missing command");
  plan.arguments = {tree.at("orphan")};
  const auto failure = execute(plan);
  CHECK(failure.exit_code == exit_not_found);
  CHECK(failure.error.what.find("interpreter") != std::string::npos);
  plan.arguments = {"echo", std::string("a\0b", 3)};
  CHECK(execute(plan).error.what.find("NUL") != std::string::npos);
}
