// SPDX-License-Identifier: Apache-2.0
#include "report/numbers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

namespace ocoee::report {
namespace {

constexpr const char* kNarrowSpace = "\u202F";
constexpr const char* kMinus = "\u2212";

std::string odd_value(double value) {
  if (std::isnan(value)) return "NaN";
  return value > 0 ? "\u221E" : std::string(kMinus) + "\u221E";
}

// Inserts narrow spaces between thousands of a plain decimal number (five digits and more).
std::string with_groups(const std::string& plain) {
  const size_t dot = std::min(plain.find('.'), plain.size());
  if (dot < 5) return plain;
  std::string out;
  for (size_t i = 0; i < dot; ++i) {
    if (i > 0 && (dot - i) % 3 == 0) out += kNarrowSpace;
    out += plain[i];
  }
  return out + plain.substr(dot);
}

std::string signed_text(double value, const std::string& magnitude) {
  const bool is_zero = magnitude.find_first_of("123456789") == std::string::npos;
  return value < 0 && !is_zero ? kMinus + magnitude : magnitude;
}

}  // namespace

std::string fixed(double value, int decimals) {
  if (!std::isfinite(value)) return odd_value(value);
  if (std::abs(value) >= 1e15) return scientific(value, 4);
  return signed_text(
      value, with_groups(fmt::format("{:.{}f}", std::abs(value), std::clamp(decimals, 0, 17))));
}

std::string grouped(double whole) {
  return fixed(whole, 0);
}

std::string superscript(int64_t exponent) {
  constexpr const char* digits[] = {"\u2070", "\u00B9", "\u00B2", "\u00B3", "\u2074",
                                    "\u2075", "\u2076", "\u2077", "\u2078", "\u2079"};
  std::string out = exponent < 0 ? "\u207B" : "";
  for (const char c : std::to_string(std::abs(exponent))) out += digits[c - '0'];
  return out;
}

std::string scientific(double value, int digits) {
  if (!std::isfinite(value)) return odd_value(value);
  if (value == 0) return "0";
  const std::string text = fmt::format("{:.{}e}", std::abs(value), std::max(0, digits - 1));
  const size_t e = text.find('e');
  std::string mantissa = text.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.back() == '.') mantissa.pop_back();
  }
  const std::string power = "10" + superscript(std::atoi(text.c_str() + e + 1));
  return signed_text(value, mantissa == "1" ? power : mantissa + "\u202F\u00D7\u202F" + power);
}

std::string significant(double value, int digits) {
  if (!std::isfinite(value)) return odd_value(value);
  if (value == 0) return "0";
  const double magnitude = std::abs(value);
  if (magnitude < 1e-3 || magnitude >= 1e9) return scientific(value, digits);
  const int exponent = static_cast<int>(std::floor(std::log10(magnitude) + 1e-12));
  return fixed(value, std::max(0, digits - 1 - exponent));
}

std::string compact(double value) {
  if (!std::isfinite(value)) return odd_value(value);
  const double magnitude = std::abs(value);
  if (magnitude < 1e4) return exact(value, magnitude < 10 ? 3 : magnitude < 100 ? 2 : 1);
  constexpr const char* units[] = {"k", "M", "G", "T", "P", "E"};
  int unit = -1;
  double scaled = magnitude;
  while (scaled >= 999.5 && unit < 5) scaled /= 1000, ++unit;
  if (scaled >= 999.5) return scientific(value, 3);
  const int decimals = scaled >= 99.95 ? 0 : scaled >= 9.995 ? 1 : 2;
  return signed_text(value,
                     fmt::format("{:.{}f}{}{}", scaled, decimals, kNarrowSpace, units[unit]));
}

std::string percent(double share) {
  const double value = share * 100;
  return fixed(value, std::abs(value) >= 99.95 ? 0 : std::abs(value) >= 0.095 ? 1 : 2) + "\u202F%";
}

int decimals_of(double value, int most) {
  for (int decimals = 0; decimals < most; ++decimals) {
    const double scale = std::pow(10.0, decimals);
    if (std::abs(std::round(value * scale) / scale - value) <= 1e-9 * std::abs(value))
      return decimals;
  }
  return most;
}

std::string exact(double value, int most) {
  if (!std::isfinite(value)) return odd_value(value);
  if (value != 0 && (std::abs(value) < std::pow(10.0, -most) || std::abs(value) >= 1e15))
    return scientific(value, most + 1);
  return fixed(value, decimals_of(value, most));
}

std::string rounded(double value, int digits) {
  if (!std::isfinite(value) || value == std::floor(value)) return exact(value, digits);
  const int exponent = static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-12));
  return exponent < -4 ? scientific(value, digits)
                       : exact(value, std::max(0, digits - 1 - exponent));
}

std::string with_error(double value, double error) {
  const double largest = std::max(std::abs(value), error);
  // An error beyond what a double holds of the value is none.
  if (!std::isfinite(value + error) || error <= 1e-13 * largest) return rounded(value);
  const auto exponent_of = [](double of) {  // once it is rounded to two figures: 0.0996 is 0.10
    const std::string text = fmt::format("{:.1e}", of);
    return std::atoi(text.c_str() + text.find('e') + 1);
  };
  if (largest < 1e-3 || largest >= 1e9) {
    const int power = exponent_of(largest);
    const double unit = std::pow(10.0, power);
    return fmt::format("({}){}\u00D7{}10{}", with_error(value / unit, error / unit), kNarrowSpace,
                       kNarrowSpace, superscript(power));
  }
  const int decimals = 1 - exponent_of(error);
  const auto text = [decimals](double of) {
    const double unit = std::pow(10.0, -decimals);
    return fixed(decimals < 0 ? std::round(of / unit) * unit : of, decimals);
  };
  return text(value) + " \u00B1 " + text(error);
}

}  // namespace ocoee::report
