// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/frame/packet.h"
