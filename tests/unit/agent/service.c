// SPDX-License-Identifier: Apache-2.0
/* Every RPC over a real server and client on a Unix socket, with the fake backend behind. */
#include "service_rig.h"

#include <stdio.h>
#include <unistd.h>

static void test_get_info(void **state)
{
    struct rig *rig = *state;
    V1(GetInfoRequest) request = V1_INIT(GET_INFO_REQUEST);
    V1(GetInfoResponse) *reply = ask(rig, "GetInfo", &request.base);
    assert_string_equal(reply->version, "1.2.3");
    assert_string_equal(reply->api_version, "v1");
    assert_int_equal(reply->runtime_kind, V1_ENUM(RUNTIME_KIND__RUNTIME_KIND_PROCESS));
    assert_int_equal(reply->n_runtimes, 1);
    assert_true(reply->runtimes[0]->available);
    assert_int_equal(reply->runtimes[0]->n_capabilities, BACKEND_CAP_COUNT);
    assert_string_equal(reply->runtimes[0]->isolation->tree_kill, "cgroup");
    assert_int_equal(reply->limits->output_retain_bytes, 1 << 20);
    assert_int_equal(reply->limits->exit_retain->seconds, 600);
    assert_int_equal(reply->host->n_cgroup_controllers, 2);
    assert_string_equal(reply->host->cgroup_controllers[1], "memory");
    assert_int_equal(reply->host->n_denial_sources, 1);
    assert_string_equal(reply->host->denial_sources[0], "network_log");
    assert_false(reply->draining);
    drop(reply);
}

static void test_spawn_wait_get_list(void **state)
{
    struct rig *rig = *state;
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", "env:SECRET", "exit:7", NULL });
    V1(ProcessSpec__EnvEntry) secret = V1_INIT(PROCESS_SPEC__ENV_ENTRY);
    secret.key = (char *)"SECRET";
    secret.value = (char *)"hunter2";
    V1(ProcessSpec__EnvEntry) * env[] = { &secret };
    spawn.spec.env = env;
    spawn.spec.n_env = 1;
    V1(SpawnResponse) *spawned = ask(rig, "Spawn", &spawn.request.base);
    assert_int_equal(spawned->process_id[0], 'p');
    assert_int_equal(spawned->isolation->level, V1_ENUM(ISOLATION_LEVEL__ISOLATION_LEVEL_FULL));
    assert_int_equal(spawned->runtime, V1_ENUM(RUNTIME_KIND__RUNTIME_KIND_PROCESS));
    assert_non_null(spawned->started_at);

    V1(Exit) *exit = wait_for(rig, spawned->process_id);
    assert_int_equal(exit->reason, V1_ENUM(EXIT__REASON__REASON_EXITED));
    assert_int_equal(exit->code, 7);
    assert_string_equal(exit->signal_name, "");
    assert_non_null(exit->usage);
    assert_non_null(exit->exited_at);
    drop_exit(exit);

    V1(GetRequest) get = V1_INIT(GET_REQUEST);
    get.process_id = spawned->process_id;
    V1(GetResponse) *got = ask(rig, "Get", &get.base);
    assert_int_equal(got->process->state, V1_ENUM(PROCESS__STATE__STATE_EXITED));
    assert_int_equal(got->process->spec->n_argv, 3);
    assert_string_equal(got->process->spec->env[0]->key, "SECRET");
    assert_string_equal(got->process->spec->env[0]->value, ""); /* values stay inside */
    assert_int_equal(got->process->output_bytes, 7);
    assert_int_equal(got->process->exit->code, 7);
    drop(got);

    V1(ListRequest) list = V1_INIT(LIST_REQUEST);
    V1(ListResponse) *listed = ask(rig, "List", &list.base);
    assert_int_equal(listed->n_processes, 0);
    drop(listed);
    list.include_exited = true;
    listed = ask(rig, "List", &list.base);
    assert_int_equal(listed->n_processes, 1);
    assert_string_equal(listed->processes[0]->process_id, spawned->process_id);
    drop(listed);
    drop(spawned);
}

static void test_list_cuts_what_is_long(void **state)
{
    struct rig *rig = *state;
    struct spawn spawn;
    char text[3001] = "out:";
    memset(text + 4, 'x', sizeof(text) - 5);
    spawn_init(&spawn, (const char *[]){ "fake", text, text, "exit:0", NULL });
    V1(ProcessSpec__EnvEntry) late = V1_INIT(PROCESS_SPEC__ENV_ENTRY);
    V1(ProcessSpec__EnvEntry) * env[] = { &late };
    late.key = text + 4;
    spawn.spec.env = env;
    spawn.spec.n_env = 1;
    Openshell__Sandbox__V1__SandboxPolicy policy = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    policy.version = 1;
    spawn.spec.policy = &policy;
    V1(SpawnResponse) *spawned = ask(rig, "Spawn", &spawn.request.base);
    drop_exit(wait_for(rig, spawned->process_id));
    V1(ListRequest) list = V1_INIT(LIST_REQUEST);
    list.include_exited = true;
    V1(ListResponse) *listed = ask(rig, "List", &list.base);
    assert_int_equal(listed->processes[0]->spec->n_argv, 2);
    assert_int_equal(listed->processes[0]->spec->n_env, 0);
    assert_null(listed->processes[0]->spec->policy);
    drop(listed);
    V1(GetRequest) get = V1_INIT(GET_REQUEST);
    get.process_id = spawned->process_id;
    V1(GetResponse) *got = ask(rig, "Get", &get.base);
    assert_int_equal(got->process->spec->n_argv, 4);
    assert_int_equal(got->process->spec->n_env, 1);
    assert_non_null(got->process->spec->policy);
    drop(got);
    drop(spawned);
}

static void test_errors_carry_details(void **state)
{
    struct rig *rig = *state;
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", "fail:exec:2", NULL });
    struct failure failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_int_equal(failure.code, OSA_FAILED_PRECONDITION);
    assert_int_equal(failure.kind, V1_ENUM(ERROR_DETAIL__KIND__KIND_FAILED));
    assert_string_equal(failure.stage, "exec");
    assert_string_equal(failure.errno_name, "ENOENT");
    assert_int_equal(failure.errno_value, 2);

    spawn_init(&spawn, (const char *[]){ NULL });
    failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_int_equal(failure.code, OSA_INVALID_ARGUMENT);
    assert_int_equal(failure.kind, V1_ENUM(ERROR_DETAIL__KIND__KIND_INVALID));
    assert_string_equal(failure.field, "spec.argv");

    spawn_init(&spawn, (const char *[]){ "fake", NULL });
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    spawn.spec.timeout = &timeout;
    failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_string_equal(failure.field, "spec.timeout");
    assert_string_equal(failure.text, "spec.timeout: is 0; leave it out for none");
    timeout.seconds = -1;
    assert_string_equal(ask_fail(rig, "Spawn", &spawn.request.base).field, "spec.timeout");
    timeout.seconds = INT64_MAX;
    assert_string_equal(ask_fail(rig, "Spawn", &spawn.request.base).field, "spec.timeout");
    timeout = (Google__Protobuf__Duration)GOOGLE__PROTOBUF__DURATION__INIT;
    timeout.nanos = 1000000000;
    assert_string_equal(ask_fail(rig, "Spawn", &spawn.request.base).field, "spec.timeout");

    spawn_init(&spawn, (const char *[]){ "fake", NULL });
    spawn.spec.runtime = (V1(RuntimeKind))9;
    failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_string_equal(failure.text, "spec.runtime: 9 is not a known runtime kind");

    /* What the binding itself finds wrong is told in the same way. */
    spawn_init(&spawn, (const char *[]){ "fake", "\xff\xfe", NULL });
    failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_int_equal(failure.code, OSA_INVALID_ARGUMENT);
    assert_string_equal(failure.field, "spec.argv");
    assert_int_equal(failure.kind, V1_ENUM(ERROR_DETAIL__KIND__KIND_INVALID));

    V1(WaitRequest) wait = V1_INIT(WAIT_REQUEST);
    wait.process_id = (char *)"p-unknown";
    assert_int_equal(ask_fail(rig, "Wait", &wait.base).code, OSA_NOT_FOUND);
}

static void test_idempotency_ignores_map_order(void **state)
{
    struct rig *rig = *state;
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", "hang", NULL });
    spawn.request.idempotency_key = (char *)"key";
    V1(ProcessSpec__LabelsEntry) a = V1_INIT(PROCESS_SPEC__LABELS_ENTRY);
    V1(ProcessSpec__LabelsEntry) b = a;
    a.key = (char *)"a";
    b.key = (char *)"b";
    V1(ProcessSpec__LabelsEntry) * labels[] = { &a, &b };
    spawn.spec.labels = labels;
    spawn.spec.n_labels = 2;
    V1(SpawnResponse) *first = ask(rig, "Spawn", &spawn.request.base);
    labels[0] = &b;
    labels[1] = &a;
    V1(SpawnResponse) *second = ask(rig, "Spawn", &spawn.request.base);
    assert_string_equal(first->process_id, second->process_id);
    b.value = (char *)"other";
    assert_int_equal(ask_fail(rig, "Spawn", &spawn.request.base).code, OSA_ALREADY_EXISTS);
    labels[1] = &b;
    b.value = (char *)"";
    assert_string_equal(ask_fail(rig, "Spawn", &spawn.request.base).field,
                        ""); /* b twice: other body */
    drop(first);
    drop(second);
}

static void test_signal_and_kill(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "ignore:10", "hang", NULL });
    V1(SignalRequest) request = V1_INIT(SIGNAL_REQUEST);
    request.process_id = id;
    static const char *const good[] = { "0", "SIGUSR1", "usr1", "10" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(good); i++) {
        request.signal = (char *)good[i];
        drop(ask(rig, "Signal", &request.base));
    }
    static const char *const bad[] = { "", "-1", "65", "SIGNOPE", " 15" };
    for (size_t i = 0; i < OSA_ARRAY_LEN(bad); i++) {
        request.signal = (char *)bad[i];
        struct failure failure = ask_fail(rig, "Signal", &request.base);
        assert_int_equal(failure.code, OSA_INVALID_ARGUMENT);
        assert_string_equal(failure.field, "signal");
    }
    request.signal = (char *)"TERM";
    request.scope = (V1(SignalScope))7;
    assert_string_equal(ask_fail(rig, "Signal", &request.base).field, "scope");

    V1(KillRequest) kill = V1_INIT(KILL_REQUEST);
    Google__Protobuf__Duration grace = GOOGLE__PROTOBUF__DURATION__INIT;
    kill.process_id = id;
    kill.grace = &grace;
    V1(KillResponse) *killed = ask(rig, "Kill", &kill.base);
    assert_int_equal(killed->exit->reason, V1_ENUM(EXIT__REASON__REASON_SIGNALED));
    assert_int_equal(killed->exit->signal, 9);
    assert_string_equal(killed->exit->signal_name, "SIGKILL");
    drop(killed);
    drop(ask(rig, "Kill", &kill.base));
    request.signal = (char *)"0";
    request.scope = V1_ENUM(SIGNAL_SCOPE__SIGNAL_SCOPE_UNSPECIFIED);
    assert_int_equal(ask_fail(rig, "Signal", &request.base).code, OSA_FAILED_PRECONDITION);
    free(id);
}

static void test_sandbox_life(void **state)
{
    struct rig *rig = *state;
    V1(CreateSandboxRequest) create = V1_INIT(CREATE_SANDBOX_REQUEST);
    V1(SandboxSpec) spec = V1_INIT(SANDBOX_SPEC);
    V1(Resources) resources = V1_INIT(RESOURCES);
    V1(SandboxSpec__LabelsEntry) label = V1_INIT(SANDBOX_SPEC__LABELS_ENTRY);
    V1(SandboxSpec__LabelsEntry) * labels[] = { &label };
    label.key = (char *)"team";
    label.value = (char *)"red";
    resources.cpu_millis = 500;
    spec.resources = &resources;
    spec.labels = labels;
    spec.n_labels = 1;
    create.sandbox_id = (char *)"box";
    create.spec = &spec;
    V1(CreateSandboxResponse) *created = ask(rig, "CreateSandbox", &create.base);
    assert_string_equal(created->sandbox->sandbox_id, "box");
    assert_int_equal(created->sandbox->state, V1_ENUM(SANDBOX__STATE__STATE_READY));
    assert_int_equal(created->sandbox->effective_resources->cpu_millis, 500);
    assert_int_equal(created->sandbox->spec->runtime, V1_ENUM(RUNTIME_KIND__RUNTIME_KIND_PROCESS));
    assert_string_equal(created->sandbox->spec->labels[0]->value, "red");
    drop(created);
    assert_int_equal(ask_fail(rig, "CreateSandbox", &create.base).code, OSA_ALREADY_EXISTS);

    V1(ListSandboxesRequest) list = V1_INIT(LIST_SANDBOXES_REQUEST);
    V1(ListSandboxesRequest__LabelsEntry) want = V1_INIT(LIST_SANDBOXES_REQUEST__LABELS_ENTRY);
    V1(ListSandboxesRequest__LabelsEntry) * wants[] = { &want };
    want.key = (char *)"team";
    want.value = (char *)"blue";
    list.labels = wants;
    list.n_labels = 1;
    V1(ListSandboxesResponse) *listed = ask(rig, "ListSandboxes", &list.base);
    assert_int_equal(listed->n_sandboxes, 0);
    drop(listed);
    want.value = (char *)"red";
    listed = ask(rig, "ListSandboxes", &list.base);
    assert_int_equal(listed->n_sandboxes, 1);
    drop(listed);

    V1(UpdateResourcesRequest) update = V1_INIT(UPDATE_RESOURCES_REQUEST);
    V1(Resources) wanted = V1_INIT(RESOURCES);
    assert_string_equal(ask_fail(rig, "UpdateResources", &update.base).field, "sandbox_id");
    update.sandbox_id = (char *)"box";
    update.resources = &wanted;
    assert_string_equal(ask_fail(rig, "UpdateResources", &update.base).field, "resources");
    wanted.pids_max = 64;
    V1(UpdateResourcesResponse) *updated = ask(rig, "UpdateResources", &update.base);
    assert_int_equal(updated->effective_resources->cpu_millis, 500);
    assert_int_equal(updated->effective_resources->pids_max, 64);
    drop(updated);

    V1(PauseRequest) pause = V1_INIT(PAUSE_REQUEST);
    V1(ResumeRequest) resume = V1_INIT(RESUME_REQUEST);
    V1(GetSandboxRequest) get = V1_INIT(GET_SANDBOX_REQUEST);
    pause.sandbox_id = resume.sandbox_id = get.sandbox_id = (char *)"box";
    drop(ask(rig, "Pause", &pause.base));
    V1(GetSandboxResponse) *got = ask(rig, "GetSandbox", &get.base);
    assert_int_equal(got->sandbox->state, V1_ENUM(SANDBOX__STATE__STATE_PAUSED));
    drop(got);
    drop(ask(rig, "Resume", &resume.base));

    V1(DeleteSandboxRequest) delete = V1_INIT(DELETE_SANDBOX_REQUEST);
    delete.sandbox_id = (char *)"box";
    drop(ask(rig, "DeleteSandbox", &delete.base));
    assert_int_equal(ask_fail(rig, "DeleteSandbox", &delete.base).code, OSA_NOT_FOUND);
    assert_int_equal(ask_fail(rig, "GetSandbox", &get.base).code, OSA_NOT_FOUND);
}

static void test_policy_is_checked(void **state)
{
    struct rig *rig = *state;
    struct spawn spawn;
    Openshell__Sandbox__V1__SandboxPolicy policy = OPENSHELL__SANDBOX__V1__SANDBOX_POLICY__INIT;
    Openshell__Sandbox__V1__FilesystemPolicy files =
        OPENSHELL__SANDBOX__V1__FILESYSTEM_POLICY__INIT;
    char *paths[] = { (char *)"relative" };
    spawn_init(&spawn, (const char *[]){ "fake", NULL });
    files.read_only = paths;
    files.n_read_only = 1;
    policy.version = 1;
    policy.filesystem = &files;
    spawn.spec.policy = &policy;
    struct failure failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_int_equal(failure.code, OSA_INVALID_ARGUMENT);
    assert_non_null(strstr(failure.text, "spec.policy"));
    paths[0] = (char *)"/usr";
    drop(ask(rig, "Spawn", &spawn.request.base));
}

static void test_drain(void **state)
{
    struct rig *rig = *state;
    free(spawn_id(rig, (const char *[]){ "fake", "hang", NULL }));
    V1(DrainRequest) request = V1_INIT(DRAIN_REQUEST);
    Google__Protobuf__Duration timeout = GOOGLE__PROTOBUF__DURATION__INIT;
    request.timeout = &timeout;
    V1(DrainResponse) *drained = ask(rig, "Drain", &request.base);
    assert_int_equal(drained->ended, 0);
    assert_int_equal(drained->killed, 1);
    drop(drained);
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", NULL });
    struct failure failure = ask_fail(rig, "Spawn", &spawn.request.base);
    assert_int_equal(failure.code, OSA_UNAVAILABLE);
    assert_int_equal(failure.kind, V1_ENUM(ERROR_DETAIL__KIND__KIND_UNAVAILABLE));
}

static void test_wait_that_is_given_up(void **state)
{
    struct rig *rig = *state;
    char *id = spawn_id(rig, (const char *[]){ "fake", "sleep:200", NULL });
    V1(WaitRequest) request = V1_INIT(WAIT_REQUEST);
    request.process_id = id;
    struct osa_error err = { 0 };
    ProtobufCMessage *reply = NULL;
    enum osa_code code = rpc_client_unary(rig->channel, SERVICE "Wait", &request.base,
                                          &openshell__agent__v1__wait_response__descriptor,
                                          osa_deadline_after(20 * OSA_NS_PER_MS), &reply, &err);
    assert_int_equal(code, OSA_DEADLINE_EXCEEDED);
    V1(Exit) *exit = wait_for(rig, id); /* the process did not mind */
    assert_int_equal(exit->code, 0);
    drop_exit(exit);
    free(id);
}

static struct fake_options slow_start = { .spawn_ns = 100 * OSA_NS_PER_MS };

/* The process lives on and can be found; nothing is left that nobody knows of. */
static void test_client_that_goes_during_spawn(void **state)
{
    static struct stream_probe probe;
    struct rig *rig = *state;
    struct spawn spawn;
    spawn_init(&spawn, (const char *[]){ "fake", "hang", NULL });
    probe_start(rig, &probe, "Spawn");
    (void)rpc_client_send(probe.call, &spawn.request.base);
    rpc_client_half_close(probe.call);
    while (agent_state(rig->f.agent).processes == 0)
        (void)osa_loop_run_once(rig->f.loop, osa_deadline_after(OSA_NS_PER_SEC));
    assert_null(process_first(rig->f.agent)); /* it is still starting */
    rpc_client_cancel(probe.call);
    probe_wait(rig, &probe);
    assert_int_equal(probe.error.code, OSA_CANCELLED);
    int64_t deadline = osa_deadline_after(5 * OSA_NS_PER_SEC);
    while (process_first(rig->f.agent) == NULL && osa_now_ns() < deadline)
        (void)osa_loop_run_once(rig->f.loop, deadline);
    V1(ListRequest) request = V1_INIT(LIST_REQUEST);
    V1(ListResponse) *listed = ask(rig, "List", &request.base);
    assert_int_equal(listed->n_processes, 1);
    assert_int_equal(listed->processes[0]->state, V1_ENUM(PROCESS__STATE__STATE_RUNNING));
    drop(listed);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_get_info),
        TEST(test_spawn_wait_get_list),
        TEST(test_list_cuts_what_is_long),
        TEST(test_errors_carry_details),
        TEST(test_idempotency_ignores_map_order),
        TEST(test_signal_and_kill),
        TEST(test_sandbox_life),
        TEST(test_policy_is_checked),
        TEST(test_drain),
        TEST(test_wait_that_is_given_up),
        cmocka_unit_test_prestate_setup_teardown(test_client_that_goes_during_spawn, rig_setup,
                                                 rig_teardown, &slow_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
