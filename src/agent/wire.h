// SPDX-License-Identifier: BSD-3-Clause
// Writing and reading the fields of a message (protocol.h). A Reader that has met a wrong field stays failed, and gives
// harmless values.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "src/base/address.h"

namespace nh::agent {

class Writer {
 public:
  template <std::integral T>
  void number(T value) {
    bytes_.resize(bytes_.size() + sizeof value);
    std::memcpy(bytes_.data() + bytes_.size() - sizeof value, &value, sizeof value);
  }
  void flag(bool value) { number<std::uint8_t>(value ? 1 : 0); }
  void raw(Bytes bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void text(std::string_view value, std::size_t most) {
    value = value.substr(0, most);
    number(static_cast<std::uint32_t>(value.size()));
    bytes_.insert(bytes_.end(), value.begin(), value.end());
  }
  std::vector<std::uint8_t> take() { return std::move(bytes_); }

 private:
  std::vector<std::uint8_t> bytes_;
};

class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}

  template <std::integral T>
  T number() {
    T value{};
    const Bytes bytes = raw(sizeof value);
    if (!failed_) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
  /// A number from 0 to `most`.
  template <std::unsigned_integral T>
  T number_to(T most) {
    const T value = number<T>();
    if (value > most) failed_ = true;
    return failed_ ? T{} : value;
  }
  bool flag() { return number_to<std::uint8_t>(1) == 1; }
  /// Exactly `size` bytes, or none.
  Bytes raw(std::size_t size) {
    if (failed_ || rest_.size() < size) {
      failed_ = true;
      return {};
    }
    const Bytes taken = rest_.first(size);
    rest_ = rest_.subspan(size);
    return taken;
  }
  /// Text of at most `most` bytes, control characters replaced: it goes into logs.
  std::string text(std::size_t most) {
    const Bytes bytes = raw(number_to<std::uint32_t>(static_cast<std::uint32_t>(most)));
    std::string value(bytes.begin(), bytes.end());
    std::replace_if(
        value.begin(), value.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; }, '?');
    return value;
  }
  void fail() { failed_ = true; }
  bool failed() const { return failed_; }
  bool at_end() const { return rest_.empty(); }

 private:
  Bytes rest_;
  bool failed_ = false;
};

}  // namespace nh::agent
