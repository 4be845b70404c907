// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/trace.h"
#include "science/alloy/link_cell_moves.h"
#include "science/alloy/tempering.h"
#include "tasks/alloys/alloy_ladder.h"
#include "tasks/alloys/ladder_report.h"
#include "tasks/alloys/ladder_starts.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;

// Bonds a site between species a and b if the others' ends were at random.
double at_random(const alloy::BondCounts& bonds, const std::vector<int64_t>& atoms, int shell,
                 int a, int b) {
  double ends = 0, sites = 0;  // ends of bonds at atoms of a
  for (int i = 0; i < bonds.species; ++i) {
    ends += static_cast<double>(bonds.at(shell, a, i)) * (i == a ? 2 : 1);
    sites += static_cast<double>(atoms[static_cast<size_t>(i)]);
  }
  return ends / sites * static_cast<double>(atoms[static_cast<size_t>(b)]) / sites;
}

class LadderTask final : public run::Task {
 public:
  LadderTask(const LadderConfig& config, run::Context& context)
      : config_(config),
        context_(context),
        ladder_(config.temperatures()),
        names_(config.columns()),
        pairs_(config.pairs_present()),
        structure_factors_(config.structure_factor_species()) {
    const alloy::ClusterInteractions energies = config.system.interactions_read();
    const std::vector<alloy::Shell> shells =
        config.system.shells(std::max(1, config.counted_shells()));
    comm::Communicator& ranks = context.mesh.axis(comm::Axis::data);
    for (const int64_t size : config.system.sizes()) {
      const alloy::Lattice lattice = config.system.lattice_of(size);
      One one{size, lattice, config.system.model(lattice, energies, config.counted_shells())};
      one.weigh = config.system.moves("far", lattice, {});
      alloy::TemperingSettings settings;
      for (const double t : ladder_) settings.betas.push_back(1 / config.system.k_t(t));
      settings.moves = config.system.moves(config.moves, lattice, shells);
      settings.exchange = config.exchange;
      settings.seed = static_cast<uint64_t>(context.run.seed);
      settings.id = systems_.size();
      const alloy::Share share(static_cast<int64_t>(ladder_.size()), ranks.rank(), ranks.size());
      if (config.sampler == "link_cell" && share.count > 0) {
        const auto first = ladder_.begin() + share.first;
        alloy::LinkCellSetup cells = config.link_cells(size, {first, first + share.count});
        cells.seed = mix64(settings.seed + settings.id), cells.first_replica = share.first;
        settings.mover = std::make_shared<alloy::LinkCellMoves>(
            std::move(cells), context.mesh.device(), context.mesh.shared_axis(comm::Axis::spatial));
      }
      std::vector<std::vector<uint8_t>> start;
      if (config.start == "file") start = starts_of_file(config, lattice, share.first, share.count);
      for (int64_t row = 0; config.start != "file" && row < share.count; ++row)
        start.push_back(config.start == "random"
                            ? alloy::random_arrangement(
                                  config.system.atoms(lattice.sites()), settings.seed,
                                  static_cast<uint64_t>(share.first + row) + (settings.id << 32))
                            : ordered_start(config.system, config.start, lattice));
      one.tempering = std::make_unique<alloy::Tempering>(one.model.energy, settings, ranks, start);
      if (config.order != "none")
        one.order =
            std::make_unique<alloy::OrderParameter>(config.order, lattice, config.wave_vectors(),
                                                    config.system.fixed_atoms(lattice.sites()));
      if (config.measures_domains())
        one.domains =
            config.order == "magnetisation"
                ? std::make_unique<alloy::Domains>(one.lattice)
                : std::make_unique<alloy::Domains>(alloy::ordering(config.order), one.lattice);
      for (const std::array<int, 3>& line : config.lines())
        one.lines.emplace_back(one.lattice, line,
                               alloy::waves_along(config.system.lattice_of(1), line));
      if (keeps(one))
        one.kept.assign(
            static_cast<size_t>(share.count),
            std::vector<uint8_t>(static_cast<size_t>(config.snapshots * lattice.sites()), 0));
      const auto numbers = static_cast<size_t>(config.samples * width());
      one.series.assign(static_cast<size_t>(share.count), std::vector<double>(numbers, 0));
      one.temperature.assign(static_cast<size_t>(share.count),
                             std::vector<int32_t>(static_cast<size_t>(config.samples), 0));
      systems_.push_back(std::move(one));
    }
  }

  int64_t position() const override { return round_; }
  int64_t total() const override { return config_.rounds(); }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }
  std::string position_name() const override { return "round"; }

  void advance() override {
    const trace::Scope scope("sampling");
    const double begin = trace::now_seconds();
    const alloy::Tally before = tally();
    for (int64_t k = 0; k < config_.samples_per_round; ++k) {
      const int64_t sample = round_ * config_.samples_per_round + k - config_.equilibration;
      for (One& one : systems_) {
        one.tempering->advance(config_.sweeps);
        if (sample >= 0) measure(one, sample);
      }
    }
    ++round_;
    if (round_ % context_.run.log_every == 0 || round_ == total()) log(before, begin);
  }

  run::State state() override {
    run::State state;
    for (One& one : systems_) {
      const std::string prefix = fmt::format("size{}", one.size);
      one.tempering->add_state(prefix, state);
      const alloy::Share& share = one.tempering->share();
      run::StateArray series{
          prefix + ".series", {share.rows, config_.samples, width()}, DType::f64, {}};
      run::StateArray temperature{
          prefix + ".temperature", {share.rows, config_.samples}, DType::i32, {}};
      for (int64_t row = 0; row < share.count; ++row) {
        const auto r = static_cast<size_t>(row);
        series.pieces.push_back(
            run::host_piece({{share.first + row, 0, 0}, {1, config_.samples, width()}},
                            one.series[r].data(), DType::f64));
        temperature.pieces.push_back(run::host_piece({{share.first + row, 0}, {1, config_.samples}},
                                                     one.temperature[r].data(), DType::i32));
      }
      state.arrays.push_back(std::move(series));
      state.arrays.push_back(std::move(temperature));
      if (!keeps(one)) continue;
      const int64_t bytes = config_.snapshots * one.lattice.sites();
      run::StateArray kept{prefix + ".snapshots", {share.rows, bytes}, DType::u8, {}};
      for (int64_t row = 0; row < share.count; ++row)
        kept.pieces.push_back(run::host_piece({{share.first + row, 0}, {1, bytes}},
                                              one.kept[static_cast<size_t>(row)].data(),
                                              DType::u8));
      state.arrays.push_back(std::move(kept));
    }
    state.values["round"] = round_;
    return state;
  }
  void loaded(const json& values) override {
    round_ = values.at("round");
    for (One& one : systems_) one.tempering->loaded(fmt::format("size{}", one.size), values);
  }

  void finish() override {
    const trace::Scope scope("analysis");
    std::vector<LadderResult> results;
    for (One& one : systems_) {
      LadderResult result{one.size, one.lattice, gather(one), {}, one.tempering->round_trips(), 0};
      if (keeps(one)) result.snapshots = kept_by_temperature(one);
      int64_t tried = 0, exchanged = 0;
      for (const int64_t n : one.tempering->tried()) tried += n;
      for (const int64_t n : one.tempering->exchanged()) exchanged += n;
      result.exchange_rate =
          tried > 0 ? static_cast<double>(exchanged) / static_cast<double>(tried) : 0;
      results.push_back(std::move(result));
    }
    if (context_.world.rank() != 0) return;
    json summary = ladder_summary(config_, results, context_.folder, context_.events);
    context_.events.emit({"summary", round_, std::move(summary)});
  }

 private:
  struct One {
    int64_t size;
    alloy::Lattice lattice;
    AlloyModel model;
    alloy::Moves weigh;
    std::unique_ptr<alloy::Tempering> tempering;
    std::unique_ptr<alloy::OrderParameter> order;
    std::unique_ptr<alloy::Domains> domains;
    std::vector<alloy::StructureFactorLine> lines;
    std::vector<std::vector<double>> series;        // by held replica: [sample][column]
    std::vector<std::vector<int32_t>> temperature;  // by held replica and sample
    std::vector<std::vector<uint8_t>> kept;         // by held replica: [snapshot][site]
  };

  // Arrangements of the largest cell are kept.
  bool keeps(const One& one) const { return one.size == config_.system.sizes().back(); }
  int64_t width() const { return static_cast<int64_t>(names_.size()); }

  void measure(One& one, int64_t sample) {
    const alloy::Tempering& replicas = *one.tempering;
    for (int64_t row = 0; row < replicas.share().count; ++row) {
      const alloy::Configuration& now = replicas.replica(row);
      const std::vector<int64_t> atoms = now.composition(one.model.energy->species());
      std::vector<double> values{one.model.energy->value(replicas.energy(row))}, weights;
      if (!config_.system.canonical())
        values.push_back(one.weigh.weighed(*one.model.energy, now, replicas.energy(row)));
      if (one.order) values.push_back(one.order->of(now, one.model.energy->species()));
      if (!config_.system.canonical())
        for (const int64_t n : atoms)
          values.push_back(static_cast<double>(n) / static_cast<double>(now.sites()));
      if (one.domains) {
        const std::vector<int64_t> sizes = one.domains->sizes(now.species());
        values.push_back(static_cast<double>(sizes.front()) / static_cast<double>(now.sites()));
        values.push_back(alloy::mean_share(sizes));
      }
      if (config_.shells > 0) {
        const alloy::BondCounts bonds = one.model.bonds->count_bonds(now);
        for (int shell = 0; shell < static_cast<int>(config_.shells); ++shell)
          for (const auto& [a, b] : pairs_) {
            const double alpha = alloy::warren_cowley(bonds, atoms, shell, a, b);
            values.push_back(std::isfinite(alpha) ? alpha : 0);
            if (!config_.system.canonical())
              weights.push_back(at_random(bonds, atoms, shell, a, b));
          }
      }
      for (const alloy::StructureFactorLine& line : one.lines)
        for (int a = 0; a < structure_factors_; ++a)
          for (const double s : line.of(now, a)) values.push_back(s);
      values.insert(values.end(), weights.begin(), weights.end());
      const auto r = static_cast<size_t>(row);
      if (const auto slot = config_.snapshot(sample); slot && keeps(one)) {
        const std::vector<uint8_t> species = now.species();
        std::copy(species.begin(), species.end(),
                  one.kept[r].begin() + *slot * one.lattice.sites());
      }
      std::copy(values.begin(), values.end(),
                one.series[r].begin() + static_cast<std::ptrdiff_t>(sample * width()));
      one.temperature[r][static_cast<size_t>(sample)] = static_cast<int32_t>(
          replicas.temperature()[static_cast<size_t>(replicas.share().first + row)]);
    }
  }

  // The kept arrangements [temperature][snapshot], on rank 0.
  std::vector<std::vector<std::vector<uint8_t>>> kept_by_temperature(const One& one) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    std::string mine, together;
    std::vector<double> where;
    for (size_t r = 0; r < one.kept.size(); ++r) {
      mine.append(one.kept[r].begin(), one.kept[r].end());
      where.insert(where.end(), one.temperature[r].begin(), one.temperature[r].end());
    }
    where = alloy::gather_rows(ranks, one.tempering->share(), where, config_.samples);
    for (const std::string& part : ranks.gather_text(mine, 0)) together += part;
    if (ranks.rank() != 0) return {};
    std::vector<std::vector<std::vector<uint8_t>>> out(
        ladder_.size(), std::vector<std::vector<uint8_t>>(static_cast<size_t>(config_.snapshots)));
    const int64_t sites = one.lattice.sites();
    for (size_t r = 0; r < ladder_.size(); ++r)
      for (int64_t sample = 0; sample < config_.samples; ++sample) {
        const auto slot = config_.snapshot(sample);
        if (!slot) continue;
        const auto t = static_cast<size_t>(
            where[r * static_cast<size_t>(config_.samples) + static_cast<size_t>(sample)]);
        const auto from =
            together.begin() + (static_cast<int64_t>(r) * config_.snapshots + *slot) * sites;
        out[t][static_cast<size_t>(*slot)].assign(from, from + sites);
      }
    return out;
  }

  // From series by replica to series by temperature, on every rank.
  alloy::LadderSeries gather(One& one) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    const size_t columns = names_.size(), samples = static_cast<size_t>(config_.samples),
                 replicas = ladder_.size();
    std::vector<double> mine, where;
    for (size_t r = 0; r < one.series.size(); ++r) {
      mine.insert(mine.end(), one.series[r].begin(), one.series[r].end());
      where.insert(where.end(), one.temperature[r].begin(), one.temperature[r].end());
    }
    const alloy::Share& share = one.tempering->share();
    mine = alloy::gather_rows(ranks, share, mine, static_cast<int64_t>(samples * columns));
    where = alloy::gather_rows(ranks, share, where, static_cast<int64_t>(samples));

    alloy::LadderSeries out;
    out.sites = one.lattice.sites();
    for (const double t : ladder_) out.k_t.push_back(config_.system.k_t(t));
    const std::vector<std::vector<double>> empty(replicas, std::vector<double>(samples, 0));
    const bool weighs = !config_.system.canonical(), has_order = config_.order != "none";
    const size_t first = 1 + (weighs ? 1 : 0) + (has_order ? 1 : 0);
    out.energy = empty;
    if (weighs) {
      out.weighed = empty;
      out.fractions = config_.system.pairs().species.size();
    }
    if (has_order) out.order = empty;
    const auto named = names_.begin() + static_cast<std::ptrdiff_t>(first),
               end = std::find_if(named, names_.end(), LadderConfig::is_weight);
    out.column_names.assign(named, end);
    out.columns.assign(out.column_names.size(), empty);
    std::vector<std::vector<std::vector<double>>*> places;  // of the columns from `first` on
    for (auto& column : out.columns) places.push_back(&column);
    for (auto name = end; name != names_.end(); ++name) {
      const auto of = std::find(named, end, name->substr(LadderConfig::kWeight.size())) - named;
      places.push_back(&(out.column_weights[static_cast<size_t>(of)] = empty));
    }
    for (size_t r = 0; r < replicas; ++r) {
      for (size_t i = 0; i < samples; ++i) {
        const double* row = mine.data() + (r * samples + i) * columns;
        const auto t = static_cast<size_t>(where[r * samples + i]);
        out.energy[t][i] = row[0];
        if (weighs) out.weighed[t][i] = row[1];
        if (has_order) out.order[t][i] = row[first - 1];
        for (size_t c = first; c < columns; ++c) (*places[c - first])[t][i] = row[c];
      }
    }
    return out;
  }

  alloy::Tally tally() const {
    alloy::Tally sum;
    for (const One& one : systems_) sum += one.tempering->tally();
    return sum;
  }

  void log(const alloy::Tally& before, double begin) {
    comm::Communicator& ranks = context_.mesh.axis(comm::Axis::data);
    const One& one = systems_.back();
    const alloy::Tally now = tally();
    double sums[2] = {static_cast<double>(now.trials - before.trials),
                      static_cast<double>(now.accepted - before.accepted)};
    ranks.all_reduce({sums, 2, DType::f64, {}}, comm::Reduce::sum);
    std::vector<double> mine;
    for (int64_t row = 0; row < one.tempering->share().count; ++row)
      mine.push_back(one.model.energy->value(one.tempering->energy(row)) /
                     static_cast<double>(one.lattice.sites()));
    const std::vector<double> energies = alloy::gather_rows(ranks, one.tempering->share(), mine);
    json fields;
    for (size_t r = 0; r < energies.size(); ++r)
      if (one.tempering->temperature()[r] == 0) fields["energy"] = energies[r];
    fields["acceptance"] = sums[1] / sums[0];
    const double seconds = trace::now_seconds() - begin;
    fields["seconds"] = seconds;
    fields["trials_per_second"] = sums[0] / std::max(seconds, 1e-9);
    if (config_.exchange && ladder_.size() > 1) {
      int64_t tried = 0, exchanged = 0;
      for (const int64_t n : one.tempering->tried()) tried += n;
      for (const int64_t n : one.tempering->exchanged()) exchanged += n;
      fields["exchange_rate"] =
          tried > 0 ? static_cast<double>(exchanged) / static_cast<double>(tried) : 0.0;
    }
    fields["shown"] = {"energy", "acceptance", "exchange_rate"};
    context_.events.emit({"step", round_, std::move(fields)});
  }

  LadderConfig config_;
  run::Context& context_;
  std::vector<double> ladder_;
  std::vector<std::string> names_;          // of a sample's columns
  std::vector<std::pair<int, int>> pairs_;  // of species that are there
  int structure_factors_;                   // species that they are measured of
  std::vector<One> systems_;
  int64_t round_ = 0;
};

}  // namespace

std::unique_ptr<run::Task> build_alloy_ladder(const run::TaskConfig& config,
                                              run::Context& context) {
  return std::make_unique<LadderTask>(dynamic_cast<const LadderConfig&>(config), context);
}

}  // namespace ocoee::tasks
