// SPDX-License-Identifier: BSD-3-Clause
#include "netstack/relay/flow.h"

#include "src/base/result.h"

namespace nh {

std::string_view path_name(FlowPath path) {
  switch (path) {
    case FlowPath::relay:
      return "relay";
    case FlowPath::frames:
      return "frames";
    case FlowPath::libslirp:
      return "libslirp";
  }
  NH_BUG_IF(true);
}

std::string_view direction_name(FlowDirection direction) {
  return direction == FlowDirection::in ? "in" : "out";
}

std::string_view end_name(FlowEnd end) {
  switch (end) {
    case FlowEnd::closed:
      return "closed";
    case FlowEnd::reset_by_host:
      return "reset_by_host";
    case FlowEnd::reset_by_guest:
      return "reset_by_guest";
    case FlowEnd::refused:
      return "refused";
    case FlowEnd::unreachable:
      return "unreachable";
    case FlowEnd::timed_out:
      return "timed_out";
    case FlowEnd::killed:
      return "killed";
    case FlowEnd::exhausted:
      return "exhausted";
    case FlowEnd::failed:
      return "failed";
  }
  NH_BUG_IF(true);
}

}  // namespace nh
