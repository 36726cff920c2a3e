// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/support/temporary_folder.hpp"

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

namespace penstock::test {

/// A `.npy` file as a reader other than ours would see it.
struct npy {
  std::string type;
  std::vector<std::size_t> shape;
  std::string data;

  [[nodiscard]] std::size_t rows() const { return shape.at(0); }
  template <class Element>
  [[nodiscard]] std::vector<Element> elements() const {
    std::vector<Element> result(data.size() / sizeof(Element));
    std::memcpy(result.data(), data.data(), result.size() * sizeof(Element));
    return result;
  }
};

/// Throws std::runtime_error unless the file is a whole version 1.0 `.npy` file of as many bytes as its header says.
inline npy read_npy(std::filesystem::path const& path) {
  std::string const file = read_file(path);
  if (!file.starts_with(std::string{"\x93NUMPY\x01\x00", 8})) throw std::runtime_error{"no magic: " + path.string()};
  std::size_t const length = static_cast<unsigned char>(file.at(8)) + 256U * static_cast<unsigned char>(file.at(9));
  std::string const header = file.substr(10, length);
  static std::regex const form{R"(\{'descr': '([^']*)', 'fortran_order': False, 'shape': \(([0-9, ]*)\), \} *\n)"};
  std::smatch parts;
  if (!std::regex_match(header, parts, form)) throw std::runtime_error{"bad header: " + header};
  npy result{parts[1], {}, file.substr(10 + length)};
  std::size_t expected = result.type == "<f4" ? 4 : 1;
  static std::regex const number{"[0-9]+"};
  std::string const shape = parts[2];
  for (std::sregex_iterator at{shape.begin(), shape.end(), number}, end; at != end; ++at) {
    result.shape.push_back(std::stoul(at->str()));
    expected *= result.shape.back();
  }
  if (result.data.size() != expected) throw std::runtime_error{"not whole: " + path.string()};
  return result;
}

}  // namespace penstock::test
