// SPDX-License-Identifier: Apache-2.0
// Small samplers that tests run on one rank and on several.
#pragma once

#include <cmath>

#include "comm/world.h"
#include "core/error.h"
#include "science/alloy/annealing.h"
#include "science/alloy/pair_model.h"
#include "science/alloy/tempering.h"
#include "science/alloy/wang_landau.h"

namespace ocoee::alloy::testing_support {

inline std::shared_ptr<const PairModel> pair_model(const std::string& kind, CellIndex repeats,
                                                   const PairInteractions& pairs) {
  const Lattice lattice(lattice_cell(kind), repeats);
  return std::make_shared<PairModel>(lattice, find_shells(lattice.cell(), pairs.shells), pairs);
}

inline std::vector<std::vector<uint8_t>> starts(const EnergyModel& model,
                                                const std::vector<int64_t>& atoms,
                                                const Share& share) {
  std::vector<std::vector<uint8_t>> out;
  for (int64_t row = share.first; row < share.first + share.count; ++row)
    out.push_back(random_arrangement(atoms, 8, static_cast<uint64_t>(row)));
  OCOEE_CHECK(model.grid()->sites() ==
              static_cast<int64_t>(out.empty() ? model.grid()->sites() : out[0].size()));
  return out;
}

inline Tempering small_tempering(comm::Communicator& ranks) {
  const auto model = pair_model("bcc", {3, 3, 3}, ising(-1));
  TemperingSettings settings;
  for (const double t : {4.0, 5.0, 6.0, 7.0, 8.0, 10.0}) settings.betas.push_back(1 / t);
  settings.seed = 3;
  const Share share(6, ranks.rank(), ranks.size());
  return {model, settings, ranks, starts(*model, {27, 27}, share)};
}

inline std::vector<double> energies_of(const Tempering& ladder, comm::Communicator& ranks) {
  std::vector<double> mine;
  for (int64_t row = 0; row < ladder.share().count; ++row)
    mine.push_back(static_cast<double>(ladder.energy(row)));
  return gather_rows(ranks, ladder.share(), mine);
}

inline WangLandau square_wang_landau(comm::Communicator& ranks, int64_t edge, double final_ln_f,
                                     int64_t windows, int64_t per_window) {
  const auto model = pair_model("square", {edge, edge, 1}, ising(1));
  WangLandauSettings settings;
  settings.moves.kind = Moves::Kind::flip;
  settings.moves.potentials = {0, 0};
  const Energy unit = std::llround(1 / model->quantum());
  settings.bins = EnergyBins::covering(-2 * edge * edge * unit, 2 * edge * edge * unit, 4 * unit);
  settings.bins.levels = true;
  settings.windows = windows;
  settings.per_window = per_window;
  settings.final_ln_f = final_ln_f;
  settings.seed = 6;
  const Share share(windows * per_window, ranks.rank(), ranks.size());
  return {model, settings, ranks, starts(*model, {edge * edge / 2, edge * edge / 2}, share)};
}

}  // namespace ocoee::alloy::testing_support
