// SPDX-License-Identifier: Apache-2.0
// Quantities whose units the compiler checks: bytes over bytes a second are seconds, and nothing
// else. A plain number enters and leaves only by name.
#pragma once

#include <compare>

namespace ocoee::plan {

template <int BytePower, int FlopPower, int SecondPower, int JoulePower = 0>
struct Quantity {
  double value = 0;

  constexpr Quantity() = default;
  constexpr explicit Quantity(double number) : value(number) {}
  constexpr Quantity& operator+=(Quantity other) { return value += other.value, *this; }
  constexpr Quantity& operator*=(double factor) { return value *= factor, *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) {
    return Quantity(a.value + b.value);
  }
  friend constexpr Quantity operator-(Quantity a, Quantity b) {
    return Quantity(a.value - b.value);
  }
  friend constexpr Quantity operator*(Quantity a, double b) { return Quantity(a.value * b); }
  friend constexpr Quantity operator*(double a, Quantity b) { return Quantity(a * b.value); }
  friend constexpr Quantity operator/(Quantity a, double b) { return Quantity(a.value / b); }
  friend constexpr auto operator<=>(Quantity a, Quantity b) = default;
};

template <int B1, int F1, int S1, int J1, int B2, int F2, int S2, int J2>
constexpr auto operator*(Quantity<B1, F1, S1, J1> a, Quantity<B2, F2, S2, J2> b) {
  return Quantity<B1 + B2, F1 + F2, S1 + S2, J1 + J2>(a.value * b.value);
}
template <int B1, int F1, int S1, int J1, int B2, int F2, int S2, int J2>
constexpr auto operator/(Quantity<B1, F1, S1, J1> a, Quantity<B2, F2, S2, J2> b) {
  return Quantity<B1 - B2, F1 - F2, S1 - S2, J1 - J2>(a.value / b.value);
}

using Bytes = Quantity<1, 0, 0>;
using Flops = Quantity<0, 1, 0>;
using Seconds = Quantity<0, 0, 1>;
using Joules = Quantity<0, 0, 0, 1>;
using BytesPerSecond = Quantity<1, 0, -1>;
using FlopsPerSecond = Quantity<0, 1, -1>;
using Watts = Quantity<0, 0, -1, 1>;

}  // namespace ocoee::plan
