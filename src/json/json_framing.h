// SPDX-License-Identifier: BSD-3-Clause
// JsonFraming: cuts a byte stream into JSON objects. A request ends where its object ends, newline
// or not.
//
// It only counts brackets and skips strings, in one pass over the bytes however they are split;
// whether what it cut out is JSON at all is the parser's business (json_checked.h). White space
// between objects is thrown away.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nh {

class JsonFraming {
 public:
  enum class State : std::uint8_t {
    empty,       ///< nothing but white space so far
    incomplete,  ///< an object has begun
    complete,    ///< object() is there
    garbage,     ///< an object should begin here and does not; there is no way back
    too_large    ///< the object is larger than the cap; there is no way back
  };

  /// `cap`: the largest object in bytes.
  explicit JsonFraming(std::size_t cap) : cap_(cap) {}

  /// Takes more bytes. To keep the memory bounded, call it only in the states empty and incomplete.
  void feed(std::string_view bytes);
  State state() const { return state_; }
  /// The object, in state complete only; valid until the next call of feed() or next().
  std::string_view object() const;
  /// Everything taken and not yet thrown away: in state garbage what stands there in place of an
  /// object.
  std::string_view waiting() const { return buffer_; }
  /// Complete only: nothing but blanks follows the object, not even a newline.
  bool ends_bare() const;
  /// Complete only: drops the object and looks at what follows.
  void next();

 private:
  void scan();

  std::size_t cap_;
  std::string buffer_;
  std::size_t scanned_ = 0;  ///< bytes of buffer_ that are behind us
  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  State state_ = State::empty;
};

}  // namespace nh
