// SPDX-License-Identifier: BSD-3-Clause
// The main function of every unit test program.
#ifdef NETNS_HELPER_CATCH3
#include <catch2/catch_session.hpp>

int main(int argc, char** argv) {
  return Catch::Session().run(argc, argv);
}
#else
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
