// glm bench — how fast: a model here, one that nobody has downloaded, the operations models are
// made of, or a server under load.
#include <CLI/CLI.hpp>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/paths.h"
#include "cmd/bench/kernel_bench.h"
#include "cmd/bench/model_bench.h"
#include "cmd/bench/output.h"
#include "cmd/cli/bench_options.h"
#include "cmd/cli/bench_serve.h"
#include "cmd/cli/bench_subject.h"
#include "cmd/cli/cli.h"
#include "cmd/cli/terminal.h"

namespace glm {
namespace {

enum class Form { none, model, synthetic, kernels, serve };

struct Args {
  std::string model;      // as the server calls it, with --serve
  std::string synthetic;  // a name, too
  bool kernels = false;
  std::int64_t layers = 0;
  std::uint64_t seed = 0;
  std::string json_file;
  bench::Options serve;
  bench::ModelOptions in_process;
  bench::KernelOptions operations;

  // What was typed, to hold the flags against the form.
  struct Flag {
    CLI::Option* option;
    std::vector<Form> forms;
  };
  std::vector<Flag> flags;
};

Result<Form> form_of(const Args& args) {
  std::vector<Form> forms;
  if (!args.serve.url.empty()) forms.push_back(Form::serve);
  if (!args.synthetic.empty()) forms.push_back(Form::synthetic);
  if (args.kernels) forms.push_back(Form::kernels);
  if (!args.model.empty() && args.serve.url.empty()) forms.push_back(Form::model);
  if (forms.size() == 1) return forms.front();
  return make_error(Errc::invalid_argument,
                    "glm bench measures one thing at a time: MODEL, --synthetic NAME, --kernels, "
                    "or --serve URL MODEL{}",
                    forms.empty() ? "; which?" : "; give one of them");
}

std::string_view name_of(Form form) {
  switch (form) {
    case Form::model:
      return "MODEL";
    case Form::synthetic:
      return "--synthetic";
    case Form::kernels:
      return "--kernels";
    default:
      return "--serve";
  }
}

Status check_flags(const Args& args, Form form) {
  for (const Args::Flag& flag : args.flags) {
    if (flag.option->count() == 0) continue;
    std::string forms;
    bool belongs = false;
    for (const Form other : flag.forms) {
      belongs = belongs || other == form;
      forms += fmt::format("{}{}", forms.empty() ? "" : " and ", name_of(other));
    }
    if (belongs) continue;
    return make_error(Errc::invalid_argument, "{} belongs to {}, not to {}",
                      flag.option->get_name(), forms, name_of(form));
  }
  return Ok{};
}

Status bench_server(Args& args) {
  if (args.model.empty()) {
    return make_error(Errc::invalid_argument, "--serve {}: say which model of it: MODEL",
                      args.serve.url);
  }
  args.serve.model = args.model;
  args.serve.json_file = args.json_file;
  args.serve.seed = args.seed;
  return bench_serve(args.serve);
}

Status bench_model(Args& args, Form form) {
  args.in_process.seed = args.seed;
  GLM_TRY(bench::check(args.in_process));
  const bench::Subject subject =
      GLM_TRY(form == Form::synthetic ? synthetic_subject(args.synthetic, args.layers)
                                      : local_subject(args.model));
  bench::Output output = GLM_TRY(bench::Output::open(args.json_file, print, say));
  return bench::measure(subject, args.in_process, other_forms_of(subject), output);
}

Status run(Args& args) {
  const Form form = GLM_TRY(form_of(args));
  GLM_TRY(check_flags(args, form));
  if (form == Form::serve) return bench_server(args);
  if (args.in_process.device.empty()) args.in_process.device = env_or_empty("GLM_DEVICE");
  if (args.in_process.device.empty()) args.in_process.device = "auto";
  if (form != Form::kernels) return bench_model(args, form);
  args.operations.device = args.in_process.device;
  args.operations.threads = args.in_process.threads;
  bench::Output output = GLM_TRY(bench::Output::open(args.json_file, print, say));
  return bench::measure_kernels(args.operations, output);
}

// Declares flags under a heading, each for some forms.
class Group {
 public:
  Group(CLI::App* command, Args& args, std::string heading, std::vector<Form> forms)
      : command_(command), args_(args), heading_(std::move(heading)), forms_(std::move(forms)) {}

  template <typename T>
  CLI::Option* add(const std::string& flags, T& value, const std::string& help) {
    return take(command_->add_option(flags, value, help));
  }
  CLI::Option* take(CLI::Option* option) {
    option->group(heading_);
    args_.flags.push_back({option, forms_});
    return option;
  }

 private:
  CLI::App* command_;
  Args& args_;
  std::string heading_;
  std::vector<Form> forms_;
};

void add_model_flags(CLI::App* command, Args& args) {
  bench::ModelOptions& o = args.in_process;
  Group group(command, args, "A model in this process: MODEL, --synthetic",
              {Form::model, Form::synthetic});
  group.add("--pp", o.prompt, "Tokens of a prompt (512)")->type_name("N[,N...]");
  group.add("--tg", o.generate, "Tokens generated after it (128)")->type_name("N[,N...]");
  group
      .add("--batch", o.batch,
           "Sequences at once (1,2,4,8,16,32,64 as far as they fit; on a CPU 1,4)")
      ->type_name("N[,N...]");
  group.add("--ctx", o.context, "Tokens before each prompt, not timed (0)");
  group.add("--kv-cache-type", o.kv_cache_type, "bf16 or fp8 (bf16)");
  Group synthetic(command, args, "Random weights: --synthetic", {Form::synthetic});
  synthetic.add("--layers", args.layers, "Only the first so many (all)");
}

void add_device_flags(CLI::App* command, Args& args) {
  args.in_process.device.clear();
  Group group(command, args, "MODEL, --synthetic, --kernels",
              {Form::model, Form::synthetic, Form::kernels});
  group.add("--device", args.in_process.device, "auto, cpu, cuda or cuda:N ($GLM_DEVICE, auto)");
  group.add("--threads", args.in_process.threads, "Of the CPU (one per core)");
  Group kernels(command, args, "Operations: --kernels", {Form::kernels});
  kernels.add("--tokens", args.operations.tokens, "Of a step (1,8,64,512; on a CPU 1)")
      ->type_name("N[,N...]");
  kernels.add("--only", args.operations.only, "Operations whose names contain this");
}

void add_serve_flags(CLI::App* command, Args& args) {
  bench::Options& o = args.serve;
  Group group(command, args, "A server: --serve", {Form::serve});
  group
      .add("--concurrency,--max-concurrency", o.concurrency,
           "Streams at once; of a list one after the other (1)")
      ->type_name("N[,N...]");
  group.add("--input-len,--random-input-len", o.input_len, "Tokens of a prompt (512)");
  group.add("--output-len,--random-output-len", o.output_len, "Tokens of an answer (256)");
  group.add("--num-prompts", o.num_prompts,
            "Requests at each level (ten for each stream, at least 64)");
  group.add("--prompts-per-stream", o.per_stream,
            "Instead: so many for each stream of a level, however few that is");
  group.add("--num-warmups", o.num_warmups,
            "Requests before them that count for nothing (as many as streams)");
  group.add("--dataset,--dataset-name", o.dataset, "random: random prompts, the only one");
  group.add("--prompts", o.prompts, "ids, or words for servers that take text only (ids)");
  group.add("--vocab-size", o.vocab_size, "Ids are drawn below it (what the server says)");
  group.add("--api-key", o.api_key, "Sent as Authorization: Bearer");
}

}  // namespace

void add_bench(CLI::App& app, Cli& cli) {
  auto args = std::make_shared<Args>();
  CLI::App* command =
      add_command(app, "bench", "Measure how fast a model, one not downloaded, or a server is");
  command->add_option("model", args->model,
                      "name[:tag], org/name, or a folder: ./path; with --serve as the server calls "
                      "it");
  command
      ->add_option("--synthetic", args->synthetic,
                   "Random weights in the layout of a catalog name, of org/name, or of a "
                   "config.json; nothing is downloaded")
      ->type_name("NAME");
  command->add_flag("--kernels", args->kernels, "The operations that models are made of");
  command->add_option("--serve", args->serve.url, "A server: http://host:port")->type_name("URL");
  add_model_flags(command, *args);
  add_device_flags(command, *args);
  add_serve_flags(command, *args);
  Group both(command, *args, "MODEL, --synthetic, --serve",
             {Form::model, Form::synthetic, Form::serve});
  both.add("--seed", args->seed, "Of the prompts (0)")
      ->check(CLI::Range(std::int64_t{0}, std::int64_t{INT64_MAX}));
  both.take(command->add_option_function<double>(
      "--temperature",
      [args](const double& value) {
        args->serve.temperature = value;
        args->in_process.temperature = value;
      },
      "0: always the likeliest token (1; with --serve 0)"));
  command
      ->add_option("--json", args->json_file,
                   "Write a JSON object per row there too; '-': print them instead")
      ->type_name("FILE");
  command->callback([&cli, args] { cli.run = [args] { return run(*args); }; });
}

}  // namespace glm
