// SPDX-License-Identifier: BSD-3-Clause
#include "tools/netns-run/doctor/doctor.h"

#include <sys/utsname.h>

#include <algorithm>

#include "src/json/json_checked.h"
#include "src/linux/id_map.h"
#include "tools/netns-run/doctor/doctor_checks.h"

namespace nh::run {

namespace {

const char* state_name(CheckState state) {
  switch (state) {
    case CheckState::available:
      return "available";
    case CheckState::limited:
      return "limited";
    case CheckState::unavailable:
      return "unavailable";
  }
  return "unavailable";
}

bool works(const std::vector<Check>& checks) {
  return std::none_of(checks.begin(), checks.end(),
                      [](const Check& check) { return check.required && check.state == CheckState::unavailable; });
}

/// A detail may quote what programs and files say; in the table it stays on one line.
std::string one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

void print_table(std::FILE* out, const std::vector<Check>& checks, const IdMapCaller& caller, const utsname& system) {
  std::fprintf(out, "user %s (uid %u), %s %s\n", caller.user.c_str(), caller.uid, system.sysname, system.release);
  if (caller.uid == 0) std::fprintf(out, "root may more than others: run it as the user who will run netns-run\n");
  for (const Check& check : checks) {
    std::fprintf(out, "%-12s%-27s%s\n", state_name(check.state), check.name.c_str(), one_line(check.detail).c_str());
    if (!check.cure.empty()) std::fprintf(out, "%-12s%-27scure: %s\n", "", "", one_line(check.cure).c_str());
  }
  std::fprintf(out, works(checks) ? "rootless networking works here\n" : "rootless networking does not work here:");
  for (const Check& check : checks)
    if (check.required && check.state == CheckState::unavailable) std::fprintf(out, " %s", check.name.c_str());
  if (!works(checks)) std::fprintf(out, "\n");
}

void print_json(std::FILE* out, const std::vector<Check>& checks, const IdMapCaller& caller, const utsname& system) {
  Json all = Json::array();
  for (const Check& check : checks)
    all.push_back({{"name", check.name},
                   {"state", state_name(check.state)},
                   {"required", check.required},
                   {"detail", check.detail},
                   {"cure", check.cure}});
  const Json object{{"ok", works(checks)},
                    {"user", caller.user},
                    {"uid", caller.uid},
                    {"kernel", system.release},
                    {"checks", std::move(all)}};
  // Whatever bytes a program or a file has said, the text is valid UTF-8, and nothing is thrown.
  const std::string text = object.dump(2, ' ', false, Json::error_handler_t::replace);
  std::fprintf(out, "%s\n", text.c_str());
}

}  // namespace

std::vector<Check> examine_host() {
  std::vector<Check> checks;
  check_namespaces(checks);
  check_network(checks);
  check_kernel(checks);
  return checks;
}

int doctor(std::FILE* out, bool json) {
  const std::vector<Check> checks = examine_host();
  const IdMapCaller caller = IdMapCaller::current();
  utsname system{};
  uname(&system);
  if (json)
    print_json(out, checks, caller, system);
  else
    print_table(out, checks, caller, system);
  std::fflush(out);
  return works(checks) ? 0 : 1;
}

}  // namespace nh::run
