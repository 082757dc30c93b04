// SPDX-License-Identifier: BSD-3-Clause
#include "src/json/json_framing.h"

#include "src/base/result.h"

namespace nh {

void JsonFraming::feed(std::string_view bytes) {
  NH_BUG_IF(state_ != State::empty && state_ != State::incomplete);
  buffer_.append(bytes);
  scan();
}

std::string_view JsonFraming::object() const {
  NH_BUG_IF(state_ != State::complete);
  return std::string_view(buffer_).substr(0, scanned_);
}

bool JsonFraming::ends_bare() const {
  NH_BUG_IF(state_ != State::complete);
  return buffer_.find_first_not_of(" \t", scanned_) == std::string::npos;
}

void JsonFraming::next() {
  NH_BUG_IF(state_ != State::complete);
  buffer_.erase(0, scanned_);
  scanned_ = 0;
  state_ = State::empty;
  scan();
}

void JsonFraming::scan() {
  if (state_ == State::empty) {
    buffer_.erase(0, buffer_.find_first_not_of(" \t\r\n"));  // RFC 8259, section 2
    if (buffer_.empty()) return;
    if (buffer_.front() != '{') {
      state_ = State::garbage;
      return;
    }
    state_ = State::incomplete;
  }
  while (scanned_ < buffer_.size() && scanned_ < cap_) {
    const char c = buffer_[scanned_++];
    if (in_string_) {
      if (escaped_) {
        escaped_ = false;
      } else if (c == '\\') {
        escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
      }
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if ((c == '}' || c == ']') && --depth_ == 0) {
      state_ = State::complete;
      return;
    }
  }
  if (scanned_ == cap_ && buffer_.size() > cap_) state_ = State::too_large;
}

}  // namespace nh
