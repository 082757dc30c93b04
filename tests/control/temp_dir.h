// SPDX-License-Identifier: BSD-3-Clause
// A directory of its own for a test, removed with what lies in it.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace nh::test {

class TempDir {
 public:
  TempDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "nh-test-XXXXXX";
    if (const char* made = mkdtemp(pattern.data())) path_ = made;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace nh::test
