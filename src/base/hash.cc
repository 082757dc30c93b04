// SPDX-License-Identifier: BSD-3-Clause
#include "src/base/hash.h"

#include <sys/random.h>

#include "src/base/result.h"

namespace nh {
namespace {

HashKey random_key() {
  HashKey key;
  NH_BUG_IF(getrandom(&key, sizeof key, 0) != static_cast<ssize_t>(sizeof key));
  return key;
}

}  // namespace

const HashKey process_hash_key = random_key();

}  // namespace nh
