// SPDX-License-Identifier: BSD-3-Clause
// Table: aligned columns of ASCII text under headings, within a width; and numbers in a form for people.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nh::ctl {

struct Column {
  std::string heading;
  bool number = false;  ///< aligned to the right
  unsigned leaves =
      0;  ///< if the table is too wide, columns with the highest number are left out first; 0: cut, not left out
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// As many cells as there are columns. What is not printable ASCII becomes '?'.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.empty(); }
  /// Lines without newlines, the headings first, none longer than `width` (0: any).
  std::vector<std::string> lines(std::size_t width) const;
  /// The same as one text.
  std::string text(std::size_t width) const;

 private:
  std::vector<std::size_t> widths(const std::vector<bool>& shown) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

/// Printable ASCII only.
std::string plain(std::string_view text);
/// Cut to `width`, ending in ".." if there is room for that.
std::string cut(std::string text, std::size_t width);

/// "0", "999", "1.2K", "45.6M", "1.0T": 1024 to the step, at most 5 characters below 1000 T.
std::string human_bytes(double bytes);
/// The same with "/s".
std::string human_rate(double bytes_per_second);
/// "0s", "59s", "1m05s", "2h03m", "3d04h".
std::string human_age(double seconds);
/// "1.2.3.4:80", "[::1]:80"; "unix" without an address.
std::string endpoint_text(const std::string& address, const std::string& port);
/// "80", "80-82", "80,443": sorted, consecutive ports as a range.
std::string ports_text(std::vector<std::uint64_t> ports);

}  // namespace nh::ctl
