// SPDX-License-Identifier: Apache-2.0
// A program that was built where Eigen was not.
#include "core/error.h"
#include "science/alloy/fit.h"

namespace ocoee::alloy {

Fit fit(const Design&, Shrinkage, double) {
  fail(ErrorKind::config,
       "fit: this program was built without Eigen, so it fits nothing\n    fix: apt-get install "
       "libeigen3-dev, and build again");
}

}  // namespace ocoee::alloy
