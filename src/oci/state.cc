// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/state.h"

#include <climits>

#include "src/base/limits.h"
#include "src/json/json_checked.h"

namespace nh {
namespace {

constexpr JsonBounds bounds{.depth = limits::oci_depth, .values = limits::oci_values, .members = limits::oci_values};

Error rule(std::string_view member, std::string text) {
  return Error{.code = Code::invalid, .what = std::move(text), .field = std::string(member)};
}

/// A string as it can be passed on to the system: not empty, no NUL.
Result<std::string> text_member(const Json& object, std::string_view name) {
  const auto found = object.find(name);
  if (found == object.end()) return rule(name, "is missing");
  NH_LET(text, string_of(*found, name));
  if (text.empty()) return rule(name, "must not be empty");
  if (text.find('\0') != text.npos) return rule(name, "must not contain NUL");
  return text;
}

Result<std::map<std::string, std::string>> annotations_of(const Json& state) {
  std::map<std::string, std::string> annotations;
  const auto found = state.find("annotations");
  if (found == state.end() || found->is_null()) return annotations;  // Go writes null for an empty map
  if (!found->is_object()) return rule("annotations", "must be an object");
  for (const auto& [key, value] : found->items()) {
    NH_LET(text, string_of(value, "annotations." + shown(key)));
    annotations.emplace(key, std::move(text));
  }
  return annotations;
}

}  // namespace

Result<ContainerState> parse_container_state(std::string_view json) {
  NH_LET(object, parse_checked(json, bounds));
  if (!object.is_object()) return Error{.code = Code::invalid, .what = "is not a JSON object"};
  ContainerState state;
  NH_TRY(text_member(object, "ociVersion"));
  NH_LET(id, text_member(object, "id"));
  NH_LET(status, text_member(object, "status"));
  NH_LET(bundle, text_member(object, "bundle"));
  NH_LET(annotations, annotations_of(object));
  state.id = std::move(id);
  state.bundle = std::move(bundle);
  state.annotations = std::move(annotations);
  if (state.bundle.front() != '/') return rule("bundle", "must be an absolute path");
  state.stopped = status == "stopped";
  if (state.stopped) return state;  // the pid is 0, or nobody's by now
  // runc says creating where crun says created; poststart says running.
  if (status != "creating" && status != "created" && status != "running")
    return rule("status", "must be creating, created, running or stopped, not " + shown(status));
  const auto pid = object.find("pid");
  if (pid == object.end()) return rule("pid", "is missing");
  NH_LET(number, integer_of(*pid, 1, INT_MAX, "pid"));
  state.pid = static_cast<pid_t>(number);
  return state;
}

Result<std::optional<std::string>> network_namespace_path(std::string_view config) {
  NH_LET(object, parse_checked(config, bounds));
  const auto pointer = Json::json_pointer("/linux/namespaces");
  if (!object.is_object() || !object.contains(pointer) || !object[pointer].is_array()) return std::optional<std::string>();
  for (const Json& entry : object[pointer]) {
    if (!entry.is_object() || !entry.contains("type") || entry["type"] != "network" || !entry.contains("path")) continue;
    NH_LET(path, text_member(entry, "path"));
    if (path.front() != '/') return rule("path", "of the network namespace must be absolute");
    return std::optional(path);
  }
  return std::optional<std::string>();
}

}  // namespace nh
