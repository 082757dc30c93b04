// SPDX-License-Identifier: BSD-3-Clause
// Catch2 under one name: version 2 (Debian 12) has one header, version 3 several.
#pragma once

#ifdef NETNS_HELPER_CATCH3
#include <catch2/catch_all.hpp>
#else
#include <catch2/catch.hpp>
#endif
