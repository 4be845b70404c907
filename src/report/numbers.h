// SPDX-License-Identifier: Apache-2.0
// Numbers as a reader wants them: narrow spaces between thousands, few digits, units, powers of
// ten.
#pragma once

#include <cmath>
#include <cstdint>
#include <string>

namespace ocoee::report {

// Charts draw values of a magnitude that survives arithmetic; everything else is a gap.
inline bool drawable(double value) {
  return std::isfinite(value) && std::abs(value) < 1e100;
}

std::string grouped(double whole);              // 4639675 -> "4 639 675" (narrow no-break spaces)
std::string fixed(double value, int decimals);  // grouped; "-" as a true minus sign
std::string significant(double value,
                        int digits = 4);  // 1.893, 0.0004 -> "4 x 10^-4" in superscripts, 132 400
std::string compact(double value);        // 1.84 M, 21.3 M, 650
std::string percent(double share);        // 0.3348 -> "33.5 %"
std::string scientific(double value,
                       int digits);  // "3.2 x 10^-4" in Unicode; 10^n alone for mantissa 1
std::string superscript(int64_t exponent);

// The fewest decimals (up to `most`) that show `value` to a relative 1e-9: a figure's own
// precision.
std::string exact(double value, int most = 4);
int decimals_of(double value, int most = 4);  // the decimals that exact() shows
// Whole numbers in full, others to at most `digits` significant figures.
std::string rounded(double value, int digits = 6);
// "-12.34 ± 0.56": to the second figure of the error. Where it is not known or nothing, rounded().
std::string with_error(double value, double error);

}  // namespace ocoee::report
