// SPDX-License-Identifier: BSD-3-Clause
#include "src/oci/directory.h"

#include <algorithm>

#include "tests/support/catch.h"

using namespace nh;

TEST_CASE("a container's directory has a name that leads nowhere else", "[oci]") {
  for (const std::string& id : {std::string(".."), std::string("../../etc"), std::string("a/b"), std::string("\n\0x", 3),
                                std::string(4096, 'a'), std::string(".hidden")}) {
    const std::string name = OciDirectory::name_of(id, "/b");
    CHECK(name.size() <= 37);
    CHECK(
        std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) != 0 || c == '_' || c == '-'; }));
  }
}

TEST_CASE("containers that differ have directories that differ", "[oci]") {
  const std::string name = OciDirectory::name_of("box", "/a");
  CHECK(name == OciDirectory::name_of("box", "/a"));
  CHECK(name.substr(0, 4) == "box-");
  CHECK(name != OciDirectory::name_of("box", "/b"));
  CHECK(OciDirectory::name_of("a/b", "/x") != OciDirectory::name_of("a_b", "/x"));
  const std::string longer(60, 'l');
  CHECK(OciDirectory::name_of(longer + "1", "/x") != OciDirectory::name_of(longer + "2", "/x"));
}
