// SPDX-License-Identifier: Apache-2.0
// Letters of nucleic acids (IUPAC-IUB 1984): A C G T, the codes for a base not known exactly
// (R Y S W K M B D H V N), and their complements. Sequences are kept as upper-case letters.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace ocoee::data {

inline constexpr uint8_t kNotABase = 4;

namespace detail {
constexpr std::array<uint8_t, 256> base_codes() {
  std::array<uint8_t, 256> codes{};
  codes.fill(kNotABase);
  codes['A'] = 0;
  codes['C'] = 1;
  codes['G'] = 2;
  codes['T'] = 3;
  return codes;
}
constexpr std::array<char, 256> complements() {
  std::array<char, 256> result{};
  result.fill('N');
  constexpr char from[] = "ACGTRYSWKMBDHVN";
  constexpr char to[] = "TGCAYRSWMKVHDBN";
  for (int i = 0; from[i]; ++i) result[static_cast<unsigned char>(from[i])] = to[i];
  return result;
}
inline constexpr auto kBaseCodes = base_codes();
inline constexpr auto kComplements = complements();
}  // namespace detail

// A C G T are 0 1 2 3, so that 3 - code is the complement; every other letter is kNotABase.
inline uint8_t base_code(char letter) {
  return detail::kBaseCodes[static_cast<unsigned char>(letter)];
}
inline char complement(char letter) {
  return detail::kComplements[static_cast<unsigned char>(letter)];
}

// The other strand, read in its own direction. `into` may not overlap `bases`.
inline void reverse_complement(std::string_view bases, char* into) {
  for (size_t i = 0; i < bases.size(); ++i) into[i] = complement(bases[bases.size() - 1 - i]);
}
inline std::string reverse_complement(std::string_view bases) {
  std::string result(bases.size(), 'N');
  reverse_complement(bases, result.data());
  return result;
}

}  // namespace ocoee::data
