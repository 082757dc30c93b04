// SPDX-License-Identifier: BSD-3-Clause
#include "src/helper/personalities/slirp4netns_options.h"

#include <fcntl.h>
#include <getopt.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "src/base/number.h"
#include "src/helper/outbound_address.h"
#include "src/helper/personalities/slirp4netns_texts.h"
#include "src/linux/tap.h"

namespace nh {
namespace {

// slirp4netns's bounds, and libslirp's own lower one (slirp_new), which slirp4netns finds out too late to explain.
constexpr std::uint64_t mtu_max = 65521, mtu_min_of_libslirp = 68;
constexpr unsigned prefix_min = 1, prefix_max = 25;
constexpr std::size_t mac_text_size = 17;
constexpr std::size_t path_size = sizeof(sockaddr_un::sun_path);

enum Long : int {
  cidr = 1000,
  disable_host_loopback,
  no_host_loopback,
  netns_type,
  userns_path,
  enable_sandbox,
  create_sandbox,
  enable_seccomp,
  outbound_addr,
  outbound_addr6,
  disable_dns,
  macaddress,
  target_type
};

constexpr const char* short_options = "ce:r:m:a:6hv";
constexpr std::array<option, 22> long_options{{
    {"configure", no_argument, nullptr, 'c'},
    {"exit-fd", required_argument, nullptr, 'e'},
    {"ready-fd", required_argument, nullptr, 'r'},
    {"mtu", required_argument, nullptr, 'm'},
    {"cidr", required_argument, nullptr, cidr},
    {"disable-host-loopback", no_argument, nullptr, disable_host_loopback},
    {"no-host-loopback", no_argument, nullptr, no_host_loopback},
    {"netns-type", required_argument, nullptr, netns_type},
    {"userns-path", required_argument, nullptr, userns_path},
    {"api-socket", required_argument, nullptr, 'a'},
    {"enable-ipv6", no_argument, nullptr, '6'},
    {"enable-sandbox", no_argument, nullptr, enable_sandbox},
    {"create-sandbox", no_argument, nullptr, create_sandbox},
    {"enable-seccomp", no_argument, nullptr, enable_seccomp},
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'v'},
    {"outbound-addr", required_argument, nullptr, outbound_addr},
    {"outbound-addr6", required_argument, nullptr, outbound_addr6},
    {"disable-dns", no_argument, nullptr, disable_dns},
    {"macaddress", required_argument, nullptr, macaddress},
    {"target-type", required_argument, nullptr, target_type},
    {nullptr, 0, nullptr, 0},
}};

/// Path options are texts in which our own command line would take digits alone for a descriptor.
std::string as_path(const std::string& text) {
  const bool digits = !text.empty() && text.find_first_not_of("0123456789") == text.npos;
  return digits ? "./" + text : text;
}

/// 0:1:2:a:b:c as 00:01:02:0a:0b:0c.
std::string with_both_digits(const std::string& mac) {
  std::string all, part;
  for (const char c : mac + ":") {
    if (c != ':') {
      part += c;
      continue;
    }
    all += (all.empty() ? "" : ":") + (part.size() == 1 ? "0" + part : part);
    part.clear();
  }
  return all;
}

/// Four numbers of one to three digits with dots between them, a slash, and one or two digits.
bool looks_like_cidr(const std::string& text) {
  std::string shape;
  unsigned digits = 0;
  for (const char c : text + '\0') {
    if (c >= '0' && c <= '9') {
      ++digits;
      continue;
    }
    if (digits == 0 || digits > (c == '\0' ? 2u : 3u)) return false;
    digits = 0;
    shape += c;
  }
  return shape == std::string(".../") + '\0';
}

std::string deprecated(const std::string& old_name, const std::string& name) {
  return "WARNING: --" + old_name + " is deprecated and will be removed in future releases, please use --" + name +
         " instead.\n";
}

class Translation {
 public:
  Translation(int argc, char* const* argv) : argc_(argc), argv_(argv) {}

  Slirp4netnsCommandLine run() {
    options_.personality = Personality::slirp4netns;
    options_.configure = false;
    options_.allow_host_loopback = true;
    options_.allow_link_local = true;
    options_.eui64_guest = true;
    options_.outbound_may_come = true;  // a container may start before the host's network has
    const std::optional<Cidr> ipv6 = options_.cidr6;
    options_.cidr6.reset();
    if (read_options() && check_together() && take_operands() && check_values() && ipv6_) options_.cidr6 = ipv6;
    line_.options = std::move(options_);
    return std::move(line_);
  }

 private:
  // ---- the ways to end here; each is the value of its caller ----
  bool end(int code) {
    line_.exit = code;
    return false;
  }
  /// A rule of the command line is broken: slirp4netns shows its usage, on standard output.
  bool misuse(const std::string& message) {
    if (!message.empty()) line_.err += message + "\n";
    line_.out += slirp4netns_help(argv_[0]);
    return end(exit_failure);
  }
  /// A value that slirp4netns looks at later, without usage.
  bool refuse(const std::string& message) {
    line_.err += message + "\n";
    return end(exit_failure);
  }

  bool read_options() {
    optind = 0;  // makes glibc start anew, so that more than one command line can be read (getopt(3), NOTES)
    while (true) {
      const int letter = getopt_long(argc_, argv_, short_options, long_options.data(), nullptr);
      if (letter == -1) return true;
      if (!one_option(letter, optarg != nullptr ? optarg : "")) return false;
    }
  }

  bool one_option(int letter, const std::string& value) {
    switch (letter) {
      case 'c':
        options_.configure = true;
        return true;
      case 'e':
        return take_fd(value, "exit-fd", options_.exit_fd);
      case 'r':
        return take_fd(value, "ready-fd", options_.ready_fd);
      case 'm':
        return take_mtu(value);
      case cidr:
        cidr_ = value;
        return true;
      case no_host_loopback:
        line_.out += deprecated("no-host-loopback", "disable-host-loopback");
        [[fallthrough]];
      case disable_host_loopback:
        options_.allow_host_loopback = false;
        return true;
      case netns_type:
        netns_type_ = value;
        return true;
      case userns_path:
        return take_userns(value);
      case 'a':
        options_.api_socket = value;
        return true;
      case '6':
        ipv6_ = true;
        line_.out += "WARNING: Support for IPv6 is experimental\n";
        return true;
      case create_sandbox:
        line_.out += deprecated("create-sandbox", "enable-sandbox");
        [[fallthrough]];
      case enable_sandbox:
        options_.sandbox = true;
        return true;
      case enable_seccomp:
        options_.seccomp = true;
        line_.out += "WARNING: Support for seccomp is experimental\n";
        return true;
      case 'h':
        line_.out += slirp4netns_help(argv_[0]);
        return end(exit_asked);
      case 'v':
        line_.out += slirp4netns_version_text();
        return end(exit_asked);
      case outbound_addr:
        outbound_v4_ = value;
        line_.out += "WARNING: Support for --outbound-addr is experimental\n";
        return true;
      case outbound_addr6:
        outbound_v6_ = value;
        line_.out += "WARNING: Support for --outbound-addr6 is experimental\n";
        return true;
      case disable_dns:
        options_.use_dns = false;
        return true;
      case macaddress:
        mac_ = value;
        return true;
      case target_type:
        target_type_ = value;
        return true;
      default:
        return misuse("");  // getopt_long has said why
    }
  }

  bool take_fd(const std::string& value, const std::string& name, int& ret_fd) {
    const auto number = parse_unsigned(value, 0, INT32_MAX, name);
    if (!number) return misuse(name + " must be a non-negative integer");
    ret_fd = static_cast<int>(*number);
    return true;
  }

  bool take_mtu(const std::string& value) {
    const auto number = parse_unsigned(value, 1, mtu_max, "mtu");
    if (!number) return misuse("MTU must be a positive integer (< 65522)");
    if (*number < mtu_min_of_libslirp) return misuse("MTU must be at least " + std::to_string(mtu_min_of_libslirp));
    options_.mtu = static_cast<unsigned>(*number);
    return true;
  }

  bool take_userns(const std::string& value) {
    if (access(value.c_str(), F_OK) != 0) return misuse("userns path doesn't exist: " + value);
    options_.userns = as_path(value);
    return true;
  }

  bool check_together() {
    if (mac_ && !options_.configure) return misuse("--macaddr cannot be specified when --configure or -c is not specified");
    bess_ = target_type_ == "bess";
    if (!bess_ && target_type_ != "netns") return misuse("--target-type must be either \"netns\" or \"bess\"");
    if (!bess_) return true;
    if (options_.configure) return misuse("--configure conflicts with --target-type=bess");
    if (netns_type_) return misuse("--netns-type conflicts with --target-type=bess");
    if (!options_.userns.empty()) return misuse("--userns-path conflicts with --target-type=bess");
    return true;
  }

  bool take_operands() {
    const bool tapfd = netns_type_ == "tapfd";
    const int needed = bess_ || tapfd ? 1 : 2;
    const int given = argc_ - optind;
    if (given < needed) return misuse("");
    if (bess_ && given > needed) return misuse("too many arguments");
    if (given > 2) line_.out += "WARNING: too many arguments\n";
    const std::string target = argv_[optind];
    if (given > 1) options_.tap_name = argv_[optind + 1];
    if (bess_) return take_bess(target);
    if (tapfd) return take_tapfd(target);
    if (netns_type_.value_or("pid") == "pid") return take_pid(target);
    return take_netns(target);
  }

  bool take_pid(const std::string& target) {
    options_.attach = TargetKind::pid;
    options_.target = target;
    if (!parse_unsigned(target, 1, INT32_MAX, "pid")) return misuse("PID must be a positive integer");
    return true;
  }
  bool take_netns(const std::string& target) {
    options_.attach = TargetKind::netns_path;
    options_.target = as_path(target);
    if (access(target.c_str(), F_OK) != 0)
      return misuse("existing path expected when --netns-type=path: " + std::string(std::strerror(errno)));
    return true;
  }
  bool take_tapfd(const std::string& target) {
    options_.attach = TargetKind::tap_fd;
    options_.target = target;
    options_.configure = false;  // whoever made the TAP configures it
    if (!parse_unsigned(target, 0, INT32_MAX, "tapfd")) return misuse("TAPFD must a file descriptor");
    return true;
  }
  bool take_bess(const std::string& target) {
    line_.out += "WARNING: BESS mode is experimental\n";
    options_.attach = TargetKind::frame_socket;
    options_.target = as_path(target);
    if (target.empty()) return refuse("the specified BESS socket path is empty");
    if (target.size() >= path_size)
      return refuse("the specified BESS socket path is too long (>= " + std::to_string(path_size) + ")");
    return true;
  }

  // In slirp4netns's order: an unusable CIDR is told before an unusable address.
  bool check_values() {
    return (!cidr_ || take_cidr(*cidr_)) && take_mac() &&
           take_outbound(outbound_v4_, Family::v4, "outbound-addr", options_.outbound_v4) &&
           take_outbound(outbound_v6_, Family::v6, "outbound-addr6", options_.outbound_v6) && check_names();
  }

  bool take_cidr(const std::string& text) {
    if (!looks_like_cidr(text)) return refuse("invalid CIDR: " + text);
    const std::size_t slash = text.find('/');
    const std::string network = text.substr(0, slash);
    if (!Address::parse(network)) return refuse("invalid network address: " + network);
    const auto prefix = static_cast<unsigned>(std::atoi(text.c_str() + slash + 1));
    if (prefix < prefix_min || prefix > prefix_max)
      return refuse("prefix length needs to be " + std::to_string(prefix_min) + "-" + std::to_string(prefix_max));
    const auto parsed = Cidr::parse(network + "/" + std::to_string(prefix));
    if (!parsed) return refuse("CIDR needs to be a network address like 10.0.2.0/24, not like 10.0.2.100/24");
    options_.cidr = *parsed;
    return true;
  }

  bool take_mac() {
    if (!mac_) return true;
    const auto mac = MacAddress::parse(with_both_digits(*mac_));
    if (!mac)
      return refuse("\"" + *mac_ + "\" is an invalid MAC address." +
                    (mac_->size() > mac_text_size ? "  Is it too long?" : "") +
                    "\nmacaddress has to be a valid MAC address (hex string, 6 bytes, each byte separated by a ':').");
    options_.mac = *mac;
    return true;
  }

  bool take_outbound(const std::optional<std::string>& text, Family family, const std::string& option,
                     std::string& ret_address) {
    if (!text) return true;
    const std::string version = family == Family::v4 ? "4" : "6";
    const std::string broken = option + " has to be valid ipv" + version + " address or interface name.";
    if (text->empty()) return refuse(broken);
    const auto address = outbound_address(*text, family, option, true);
    if (!address && address.error().code == Code::invalid) return refuse(broken);
    if (!address) return refuse(address.error().message());
    ret_address = (*address)->text();
    return true;
  }

  bool check_names() {
    for (const auto& [fd, name] : {std::pair(options_.exit_fd, "exit-fd"), std::pair(options_.ready_fd, "ready-fd")})
      if (fd >= 0 && fcntl(fd, F_GETFD) < 0)
        return refuse(std::string(name) + ": file descriptor " + std::to_string(fd) + " is not open");
    if (options_.ready_fd >= 0 && options_.ready_fd == options_.exit_fd)
      return refuse("exit-fd is the same file descriptor as ready-fd");
    if (bess_ || options_.attach == TargetKind::tap_fd) return true;
    const auto name = check_interface_name(options_.tap_name);
    return name ? true : refuse(name.error().message());
  }

  int argc_;
  char* const* argv_;
  Slirp4netnsCommandLine line_;
  Options options_;
  bool ipv6_ = false, bess_ = false;
  std::optional<std::string> cidr_, netns_type_, mac_, outbound_v4_, outbound_v6_;
  std::string target_type_ = "netns";
};

}  // namespace

Slirp4netnsCommandLine parse_slirp4netns(int argc, char* const* argv) {
  return Translation(argc, argv).run();
}

}  // namespace nh
