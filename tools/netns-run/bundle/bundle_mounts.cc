// SPDX-License-Identifier: BSD-3-Clause
#include <sys/mount.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "src/linux/mount.h"
#include "tools/netns-run/bundle/bundle_parts.h"

#ifndef MS_NOSYMFOLLOW
#define MS_NOSYMFOLLOW 256  // Linux 5.10
#endif

namespace nh::run {
namespace {

using Kind = MountSpec::Kind;

/// The file-system-independent options of mount(8), as the runtime-spec lists them (config.md, "Linux mount options"). Each
/// has a form for the whole tree with an r in front.
struct FlagOption {
  std::string_view name;
  unsigned long set = 0, clear = 0;
};
constexpr std::array<FlagOption, 16> flag_options{{{"ro", MS_RDONLY, 0},
                                                   {"rw", 0, MS_RDONLY},
                                                   {"nosuid", MS_NOSUID, 0},
                                                   {"suid", 0, MS_NOSUID},
                                                   {"nodev", MS_NODEV, 0},
                                                   {"dev", 0, MS_NODEV},
                                                   {"noexec", MS_NOEXEC, 0},
                                                   {"exec", 0, MS_NOEXEC},
                                                   {"nosymfollow", MS_NOSYMFOLLOW, 0},
                                                   {"symfollow", 0, MS_NOSYMFOLLOW},
                                                   {"nodiratime", MS_NODIRATIME, 0},
                                                   {"diratime", 0, MS_NODIRATIME},
                                                   {"noatime", MS_NOATIME, 0},
                                                   {"atime", MS_RELATIME, 0},
                                                   {"relatime", MS_RELATIME, 0},
                                                   {"strictatime", MS_STRICTATIME, 0}}};
/// What holds anyway, or is about messages.
constexpr std::array<std::string_view, 10> empty_options{"defaults", "async", "norelatime", "nostrictatime",  "rnorelatime",
                                                         "silent",   "loud",  "nolazytime", "rnostrictatime", "nomand"};
/// A file system's own, not a mount's: a bind cannot have them.
constexpr std::array<FlagOption, 3> filesystem_options{
    {{"sync", MS_SYNCHRONOUS, 0}, {"dirsync", MS_DIRSYNC, 0}, {"lazytime", MS_LAZYTIME, 0}}};
/// Known to the specification or to other runtimes, and more than flags.
constexpr std::array<std::string_view, 10> unsupported_options{"remount", "idmap", "ridmap",   "tmpcopyup",  "copy-symlink",
                                                               "mand",    "move",  "iversion", "noiversion", "loop"};

template <class List>
bool holds(const List& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

/// The last of two that contradict each other wins, as in mount(8).
void apply(const FlagOption& option, unsigned long& set, unsigned long& clear) {
  constexpr unsigned long access_times = MS_NOATIME | MS_RELATIME | MS_STRICTATIME;
  if ((option.set & access_times) != 0) set &= ~access_times;
  set = (set & ~option.clear) | option.set;
  clear = (clear & ~option.set) | option.clear;
}

const FlagOption* find(std::string_view name) {
  const auto found =
      std::find_if(flag_options.begin(), flag_options.end(), [name](const auto& option) { return option.name == name; });
  return found == flag_options.end() ? nullptr : &*found;
}

Result<> read_option(const JsonPlace& place, const std::string& word, MountSpec& mount) {
  const bool is_bind = mount.kind == Kind::bind;
  if (word == "bind" || word == "rbind" || holds(empty_options, word)) return Ok{};
  if (holds(unsupported_options, word)) return unsupported_member(place, "is not supported: " + word);
  if (const FlagOption* option = find(word)) {
    apply(*option, mount.top_set_flags, mount.top_clear_flags);
    return Ok{};
  }
  if (const FlagOption* option = word.starts_with('r') ? find(std::string_view(word).substr(1)) : nullptr) {
    if (is_bind && !mount.recursive) return invalid_member(place, "is for a whole tree, but the mount is no rbind: " + word);
    apply(*option, mount.set_flags, mount.clear_flags);
    return Ok{};
  }
  if (auto propagation = parse_propagation(word, place.path)) {
    if (mount.propagation != 0 && mount.propagation != *propagation)
      return invalid_member(place, "is a second propagation: " + word);
    mount.propagation = *propagation;
    return Ok{};
  }
  if (is_bind) return unsupported_member(place, "means nothing to a bind: " + word);
  for (const auto& option : filesystem_options)
    if (option.name == word) {
      mount.set_flags |= option.set;
      return Ok{};
    }
  if (word.empty() || word.find(',') != std::string::npos)
    return invalid_member(place, "is not one option: \"" + word + "\"");
  mount.data += (mount.data.empty() ? "" : ",") + word;
  return Ok{};
}

Result<Kind> kind_of(const JsonPlace& place, const std::vector<std::string>& options) {
  NH_LET(type, text(place["type"], ""));
  if (holds(options, "bind") || holds(options, "rbind") || type == "bind") return Kind::bind;
  if (type == "proc") return Kind::proc;
  if (type == "sysfs") return Kind::sysfs;
  if (type == "tmpfs") return Kind::tmpfs;
  if (type == "devpts") return Kind::devpts;
  if (type == "mqueue") return Kind::mqueue;
  if (type == "cgroup" || type == "cgroup2") return Kind::cgroup2;
  if (type.empty() || type == "none")
    return invalid_member(place["type"], "is needed where the options have neither bind nor rbind");
  return unsupported_member(place["type"], "is not supported: " + type);
}

Result<MountSpec> read_mount(const JsonPlace& place, const std::string& directory) {
  NH_TRY(must_be_object(place));
  constexpr std::array<std::string_view, 2> id_mappings{"uidMappings", "gidMappings"};
  NH_TRY(refuse_members(place, id_mappings));
  MountSpec mount;
  NH_LET(destination, text(place["destination"]));
  if (destination.empty()) return invalid_member(place["destination"], "is empty");
  // Absolute by the letter of 1.0; since 1.2 a relative one starts from "/", as runtimes have always had it.
  mount.target = absolute(destination, "/");
  NH_LET(options, texts(place["options"]));
  NH_LET(kind, kind_of(place, options));
  mount.kind = kind;
  mount.recursive = holds(options, "rbind");
  NH_LET(source, text(place["source"], ""));
  if (kind == Kind::bind && source.empty()) return invalid_member(place["source"], "is missing: what shall be bound?");
  mount.source = kind == Kind::bind ? absolute(source, directory) : source;
  std::size_t index = 0;
  for (const auto& word : options) {
    JsonPlace option = place["options"];
    option.path += "[" + std::to_string(index++) + "]";
    NH_TRY(read_option(option, word, mount));
  }
  return mount;
}

}  // namespace

Result<std::vector<MountSpec>> bundle_mounts(const JsonPlace& mounts, const std::string& directory) {
  std::vector<MountSpec> all;
  NH_TRY(for_each(mounts, [&](const JsonPlace& place) -> Result<> {
    NH_LET(mount, read_mount(place, directory));
    all.push_back(std::move(mount));
    return Ok{};
  }));
  return all;
}

}  // namespace nh::run
