// SPDX-License-Identifier: BSD-3-Clause
// The JSON form of HelperInfo; its members are described in netns-helper-control.7.
#pragma once

#include "src/control/info.h"
#include "src/json/json_checked.h"

namespace nh {

Json json_of(const HelperInfo& info);

}  // namespace nh
