// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/annotations.h"

#include "src/helper/options.h"
#include "tests/support/catch.h"

using namespace nh;

namespace {

using Annotations = std::map<std::string, std::string>;
using Words = std::vector<std::string>;

Result<Words> words(const Annotations& annotations, AnnotationReach reach = AnnotationReach::all) {
  return words_of_annotations(annotations, reach);
}

}  // namespace

TEST_CASE("annotations become words of the command line", "[oci]") {
  CHECK(words({}).value().empty());
  CHECK(words({{"org.netns-helper", "true"}, {"io.other", "x"}, {"org.netns-helpers.mtu", "1"}}).value().empty());
  CHECK(words({{"org.netns-helper.mtu", "9000"}}).value() == Words{"--mtu=9000"});
  CHECK(words({{"org.netns-helper.no-ipv6", "true"}, {"org.netns-helper.no-dns", "false"}}).value() == Words{"--no-ipv6"});
  CHECK(words({{"org.netns-helper.forward", "8080:80,[::1]:53:53/udp"}, {"org.netns-helper.forward.0", "22:22"}}).value() ==
        Words{"--forward=8080:80", "--forward=[::1]:53:53/udp", "--forward=22:22"});
  CHECK(words({{"org.netns-helper.forward", "80,443:1080,1443/tcp;auto:!22"}}).value() ==
        Words{"--forward=80,443:1080,1443/tcp", "--forward=auto:!22"});
  CHECK(words({{"org.netns-helper.forward", "80,443;"}}).value() == Words{"--forward=80,443"});
  CHECK(words({{"org.netns-helper.tap-name", "--pid"}, {"org.netns-helper.mtu", "1"}}).value() ==
        Words{"--mtu=1", "--", "--pid"});
}

TEST_CASE("every annotation is an option that the command line knows", "[oci]") {
  const std::pair<const char*, const char*> values[] = {
      {"cidr", "10.1.0.0/16"},
      {"cidr6", "fd01::/64"},
      {"leave-lo", "true"},
      {"mac", "02:00:00:00:00:07"},
      {"mtu", "1400"},
      {"no-configure", "true"},
      {"no-dns", "true"},
      {"no-ipv6", "true"},
      {"sandbox", "true"},
      {"seccomp", "true"},
      {"tap-name", "net0"},
      {"allow-host-loopback", "true"},
      {"allow-link-local", "true"},
      {"api-socket", "/s"},
      {"dns", "192.0.2.1,192.0.2.2"},
      {"forward", "1:2"},
      {"forward-to-loopback", "true"},
      {"outbound-addr", "eth0"},
      {"outbound-addr6", "eth0"},
  };
  for (const auto& [key, value] : values) {
    auto added = words({{std::string("org.netns-helper.") + key, value}});
    INFO(key);
    REQUIRE(added.ok());
    std::vector<const char*> argv{"netns-helper", "--pid=1"};
    for (const std::string& word : *added) argv.push_back(word.c_str());
    CHECK(parse_command_line(static_cast<int>(argv.size()), argv.data()).ok());
  }
}

TEST_CASE("an annotation that is no option, or no value of it, is refused by its key", "[oci]") {
  const std::pair<const char*, std::string> bad[] = {
      {"org.netns-helper.", "1"},
      {"org.netns-helper.pid", "1"},
      {"org.netns-helper.netns", "/x"},
      {"org.netns-helper.ready-fd", "1"},
      {"org.netns-helper.log-json", "true"},
      {"org.netns-helper.mtu.0", "1"},
      {"org.netns-helper.forwards", "1"},
      {"org.netns-helper.forward", ""},
      {"org.netns-helper.forward", "1:1,"},
      {"org.netns-helper.forward", ";"},
      {"org.netns-helper.forward", "1:1;;"},
      {"org.netns-helper.no-dns", "1"},
      {"org.netns-helper.mtu", std::string("1\0", 2)},
  };
  for (const auto& [key, value] : bad) {
    const auto refused = words({{key, value}});
    INFO(key);
    REQUIRE_FALSE(refused.ok());
    CHECK(refused.error().message().find(key) != std::string::npos);
  }
}

TEST_CASE("annotations reach as far as the hook says", "[oci]") {
  const Annotations guest{{"org.netns-helper.mtu", "9000"}}, host{{"org.netns-helper.forward.a", "1:1"}};
  CHECK(words(guest, AnnotationReach::guest).ok());
  CHECK_FALSE(words(host, AnnotationReach::guest).ok());
  CHECK_FALSE(words(guest, AnnotationReach::none).ok());
  CHECK(words({{"org.netns-helper", "true"}}, AnnotationReach::none).ok());
  CHECK(parse_annotation_reach("guest").value() == AnnotationReach::guest);
  CHECK_FALSE(parse_annotation_reach("").ok());
}
