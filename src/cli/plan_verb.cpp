// SPDX-License-Identifier: Apache-2.0
// ocoee plan WHAT --machine M --devices N: will it fit, how fast, which layout. WHAT is a recipe,
// or the name of a published model. ocoee plan import reads the launch script of another trainer.
#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "cli/recipe.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "models/shapes.h"
#include "plan/launch_script.h"
#include "plan/overrides.h"
#include "plan/plan_file.h"
#include "plan/plan_text.h"
#include "report/plan_page.h"
#include "run/run_directory.h"

namespace ocoee::cli {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string what, machine, system = "ocoee", compute, shard, recompute, output;
  std::vector<std::string> overrides;
  int64_t devices = 0, top = 10, batch = 0, sequence = 0;
  int64_t tensor = 0, context = 0, pipeline = 0, micro = 0;
  double tokens = 0;
  bool across_nodes = false;
};

bool is_recipe(const std::string& what) {
  return what.ends_with(".toml") || what.find('/') != std::string::npos || fs::exists(what);
}

plan::Planned of_recipe(const Tasks& tasks, const Options& options, double& checkpoint_interval) {
  config::Document document = config::Document::from_file(options.what);
  for (const std::string& assignment : options.overrides) document.override_value(assignment);
  const run::TaskType& type =
      find_task(tasks, document.string_at("task.name").value_or(""), options.what);
  DescribedRecipe recipe(type);
  config::Problems problems;
  document.read(recipe.description, problems);
  problems.throw_if_any();
  // Its data need not be here, and its layout is what is looked for: only the model must be sound.
  recipe.task->check(problems, recipe.run, 1);
  config::Problems of_model;
  for (const config::Problem& p : problems.all()) {
    if (p.key.starts_with("model")) of_model.add_at(p.source, p.key, p.message, p.fix);
  }
  of_model.throw_if_any();
  const auto planned = recipe.task->planned(options.devices);
  if (!planned)
    fail(ErrorKind::config,
         "{}: task {} does not say what its layers cost, so no plan can be made\n    fix: "
         "`ocoee run {} --check` shows its memory",
         options.what, type.name, options.what);
  checkpoint_interval = recipe.run.checkpoint_interval;
  plan::Planned out = *planned;
  out.workload.name = fs::path(options.what).stem().string();
  return out;
}

plan::Planned of_shape(const Options& options) {
  if (!options.overrides.empty())
    fail(ErrorKind::config,
         "command line: '{}': a model by name has no recipe whose values could be changed\n    "
         "fix: use --batch, --sequence, --compute, or give a recipe",
         options.overrides[0]);
  const models::NamedShape& shape = models::named_shape(options.what);
  plan::Planned planned;
  planned.workload.name = shape.name;
  planned.workload.model = models::build_gpt(shape.config, shape.vocabulary);
  planned.workload.sequence = shape.config.context;
  planned.workload.global_batch = shape.batch;
  return planned;
}

plan::PlanRequest request_of(const Options& o, const plan::Planned& planned) {
  plan::PlanRequest request;
  request.own = planned.layout;
  request.own_problem = planned.problem;
  request.tokens = o.tokens;
  plan::SearchRequest& s = request.search;
  s.devices = o.devices;
  s.top = static_cast<size_t>(o.top);
  s.tensor_across_nodes = o.across_nodes;
  const auto pin = [](std::optional<int64_t>& axis, int64_t ranks) {
    if (ranks > 0) axis = ranks;
  };
  pin(s.tensor, o.tensor);
  pin(s.context, o.context);
  pin(s.pipeline, o.pipeline);
  pin(s.micro, o.micro);
  if (!o.shard.empty()) s.shard = plan::shard_from_name(o.shard, "--shard");
  if (!o.recompute.empty()) s.recompute = plan::recompute_from_name(o.recompute, "--recompute");
  return request;
}

// What runs the first proposal: a recipe's command, or what to set in a recipe of a named model.
std::string how_to_run(const Options& o, const plan::Planned& planned,
                       const plan::Configuration& c) {
  if (o.system != "ocoee") return "";
  std::optional<plan::Configuration> own = planned.layout;
  if (!is_recipe(o.what)) own = plan::Configuration{};  // a recipe that sets no layout
  std::vector<std::string> more = plan::overrides_of(c, own);
  if (!is_recipe(o.what)) return "set in a recipe, for the first: " + join(more, " ") + "\n";
  if (o.batch > 0) more.push_back(fmt::format("batch.global={}", o.batch));
  if (o.sequence > 0) more.push_back(fmt::format("model.context={}", o.sequence));
  if (!o.compute.empty()) more.push_back("precision.compute=" + o.compute);
  if (c.pipeline > 1) {  // stages are cut by this machine's times
    const auto parts = static_cast<size_t>(c.pipeline * c.chunks);
    if (!planned.workload.cuts.empty() && planned.workload.cuts.size() + 1 != parts)
      more.emplace_back("layout.cuts=[]");
    more.push_back("run.machine=" + o.machine);
  }
  const std::string launcher = o.devices > 1 ? fmt::format("mpirun -n {}", o.devices) : "";
  return "run the first: " + run_command(launcher, o.what, o.overrides, more) + "\n";
}

int make(const Tasks& tasks, const Options& o) {
  if (o.what.empty())
    fail(ErrorKind::config,
         "command line: plan needs a recipe or the name of a model\n    fix: ocoee plan 175b "
         "--machine frontier --devices 1024");
  if (o.machine.empty())
    fail(ErrorKind::config,
         "command line: plan needs --machine\n    fix: one of `ocoee list machines`, or the file "
         "that `ocoee calibrate` wrote");
  const plan::Machine machine = plan::load_machine(o.machine);
  double checkpoint_interval = run::RunConfig().checkpoint_interval;
  plan::Planned planned =
      is_recipe(o.what) ? of_recipe(tasks, o, checkpoint_interval) : of_shape(o);
  plan::Workload& w = planned.workload;
  if (o.batch > 0) w.global_batch = o.batch;
  if (!o.compute.empty()) w.compute = o.compute;
  if (o.sequence > 0) w = plan::with_sequence(std::move(w), o.sequence);
  plan::Predictor predictor(w, plan::system_named(o.system), machine);
  plan::PlanRequest request = request_of(o, planned);
  request.checkpoint_interval = plan::Seconds(checkpoint_interval);
  plan::Plan made = plan::make_plan(predictor, request);
  const std::string run = how_to_run(o, planned, made.found.proposals.front().configuration);
  made.json["made"] = {{"by", run::program_words()}, {"command", run::command_line()}};
  if (!run.empty()) made.json["run"] = run.substr(0, run.size() - 1);

  const fs::path folder =
      o.output.empty()
          ? fs::path("plans") /
                fmt::format("{}-{}-{}", w.name, fs::path(o.machine).stem().string(), o.devices)
          : fs::path(o.output);
  std::error_code error;
  fs::create_directories(folder, error);
  if (error)
    fail(ErrorKind::file, "{}: cannot be made: {}\n    fix: give another folder with --output",
         folder.string(), error.message());
  write_file_atomically(folder / "plan.json", made.json.dump(1) + "\n");
  write_file_atomically(folder / "plan.html", report::plan_page(made.json));
  print_answer(
      plan::plan_text(made.json) + "\n" + run +
      fmt::format("{}\n{}\n", (folder / "plan.json").string(), (folder / "plan.html").string()));
  return 0;
}

struct ImportOptions {
  std::string script, json, machine;
  int64_t devices = 0;
};

std::string text_of(const plan::LaunchedRun& run, const plan::Workload& w) {
  std::string layout = fmt::format("tensor {}, ", run.tensor);
  if (run.context > 1) layout += fmt::format("context {}, ", run.context);
  layout += fmt::format("pipeline {}, data {}", run.pipeline,
                        run.data() > 0 ? std::to_string(run.data()) : "?");
  if (run.chunks > 1) layout += fmt::format(", {} chunks a stage", run.chunks);
  std::string text = fmt::format(
      "model: {} parameters, {} layers, width {}, {} heads, {} tokens a sample, {}\nlayout: {}, {} "
      "sample{} a micro-batch, {} a step, ZeRO {}{}{}\n",
      format_count(static_cast<double>(w.model.parameters())), run.layers, run.width, run.heads,
      run.sequence, run.compute, layout, run.micro, run.micro == 1 ? "" : "s", run.global_batch,
      run.zero,
      run.recompute == plan::Recompute::none
          ? ""
          : fmt::format(", {} recompute", plan::name_of(run.recompute)),
      run.fused_attention ? ", fused attention" : "");
  if (!run.not_read.empty())
    text += "not read, though it may change the step: " + join(run.not_read, ", ") + "\n";
  return text;
}

plan::Workload workload_of(const plan::LaunchedRun& run, const std::string& script) {
  const auto word = [](bool yes) { return yes ? "yes" : "no"; };
  models::GptConfig shape;
  shape.layers = run.layers;
  shape.width = run.width;
  shape.heads = run.heads;
  shape.kv_heads = run.kv_heads;
  shape.context = run.sequence;
  shape.feed_forward = run.feed_forward;
  shape.activation = run.swiglu ? "swiglu" : "gelu";
  shape.norm = run.rms_norm ? "rms" : "layer";
  shape.positions = run.rope ? "rope" : "learned";
  shape.tied = word(run.tied);
  shape.bias = word(run.bias);
  config::Problems problems;
  shape.check(problems);
  if (!problems.empty()) fail(ErrorKind::config, "{}: {}", script, problems.text());
  plan::Workload w;
  w.name = fs::path(script).filename().string();
  w.model = models::build_gpt(shape, run.vocabulary);
  w.sequence = run.sequence;
  w.global_batch = run.global_batch;
  w.compute = run.compute;
  return w;
}

int import_script(const ImportOptions& o) {
  const plan::LaunchedRun run = plan::read_launch(
      read_file(o.script), o.script, o.json.empty() ? "" : read_file(o.json), o.json, o.devices);
  const plan::Workload w = workload_of(run, o.script);
  print_answer(text_of(run, w));
  if (!run.contradictions.empty())
    fail(ErrorKind::config, "{} contradiction{} between {} and {}\n{}", run.contradictions.size(),
         run.contradictions.size() == 1 ? "" : "s", o.script, o.json.empty() ? "its JSON" : o.json,
         join(run.contradictions, "\n"));
  if (run.data() == 0 || o.machine.empty()) {
    print_answer(
        "no contradiction; with --machine, and --devices where the script does not say, "
        "its step is predicted\n");
    return 0;
  }
  plan::Predictor predictor(w, run.system(), plan::load_machine(o.machine));
  const plan::Configuration c = run.configuration();
  if (const std::string problem = predictor.problem(c); !problem.empty())
    fail(ErrorKind::config, "{}: this layout cannot be: {}", o.script, problem);
  const plan::Prediction p = predictor.simulate(c);
  const nlohmann::json out = plan::proposal_json(predictor, c, p);
  print_answer(
      fmt::format("no contradiction\npredicted, as {} trains: {} a step, {:.0f} tokens/s and "
                  "device, MFU {:.1f} "
                  "%, HFU {:.1f} %; {}\n",
                  predictor.system().name, format_seconds(p.seconds),
                  out.at("tokens_per_second_device").get<double>(),
                  100 * out.at("mfu").get<double>(), 100 * out.at("hfu").get<double>(),
                  plan::memory_words(p.total_bytes, predictor.usable_bytes())));
  return 0;
}

void add_import(CLI::App& verb, Action& chosen) {
  auto options = std::make_shared<ImportOptions>();
  CLI::App* inner = verb.add_subcommand(
      "import", "check a Megatron-DeepSpeed launch script against its JSON, and predict its step");
  inner->add_option("script", options->script, "a shell script")->required();
  inner->add_option("json", options->json,
                    "the DeepSpeed configuration; left out where the script writes it");
  inner->add_option("--machine", options->machine, "a machine profile");
  inner->add_option("--devices", options->devices, "where the script does not say");
  inner->callback([&chosen, options] { chosen = [options] { return import_script(*options); }; });
}

}  // namespace

void add_plan(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto o = std::make_shared<Options>();
  CLI::App* verb =
      program.add_subcommand("plan",
                             "say whether a model fits, how fast it trains, and in which "
                             "layout, before any job is queued");
  verb->add_option("what", o->what, "a recipe, or a model by name: 22b, 175b, llama3-8b, ...");
  verb->add_option("overrides", o->overrides, "section.key=value of the recipe");
  verb->add_option("--machine", o->machine, "a profile by name, or its TOML file");
  verb->add_option("--devices", o->devices, "GPUs as software sees them")
      ->check(CLI::PositiveNumber);
  verb->add_option("--top", o->top, "layouts shown")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb->add_option("--batch", o->batch, "samples of a step; 0 = the recipe's, or the model's own")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--sequence", o->sequence, "tokens of a sample; 0 = the model's own")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--compute", o->compute, "float32, float64, bfloat16 or float16")
      ->check(CLI::IsMember({"float32", "float64", "bfloat16", "float16"}));
  verb->add_option("--system", o->system,
                   "which software trains: ocoee, megatron, megatron_deepspeed")
      ->capture_default_str();
  verb->add_option("--tensor", o->tensor, "only this many tensor ranks")
      ->check(CLI::PositiveNumber);
  verb->add_option("--context", o->context, "only this many context ranks")
      ->check(CLI::PositiveNumber);
  verb->add_option("--pipeline", o->pipeline, "only this many stages")->check(CLI::PositiveNumber);
  verb->add_option("--micro", o->micro, "only this many samples a micro-batch")
      ->check(CLI::PositiveNumber);
  verb->add_option("--shard", o->shard, "only this: none, states, gradients or parameters");
  verb->add_option("--recompute", o->recompute, "only this: none, selective or full");
  verb->add_flag("--across-nodes", o->across_nodes, "tensor groups may cross nodes");
  verb->add_option("--tokens", o->tokens, "also say hours, node-hours and energy to this many")
      ->check(CLI::NonNegativeNumber);
  verb->add_option("--output", o->output,
                   "folder of plan.json and plan.html; plans/MODEL-MACHINE-DEVICES without it");
  add_import(*verb, chosen);
  verb->callback([&tasks, &chosen, verb, o] {
    if (!verb->get_subcommands().empty()) return;
    if (o->devices == 0) o->devices = 1;
    chosen = [&tasks, o] { return make(tasks, *o); };
  });
}

}  // namespace ocoee::cli
