// SPDX-License-Identifier: Apache-2.0
/* ReportMainProcessExit: without it the gateway would wait for a sandbox that has ended. */
#include "agent/gateway/gateway.h"
#include "base/log.h"

#include <stdlib.h>

#define FIRST_NS (250 * OSA_NS_PER_MS)
#define MAX_NS (2 * OSA_NS_PER_SEC)
#define CALL_NS (10 * OSA_NS_PER_SEC)

struct exit_report {
    struct gateway *gateway;
    void (*done)(struct gateway *gateway);
    struct rpc_client_events events;
    struct osa_timer retry;
    int64_t wait_ns;
};

static void send_report(struct exit_report *report)
{
    struct gateway *gateway = report->gateway;
    GATEWAY(ReportMainProcessExitRequest) request = GATEWAY_INIT(REPORT_MAIN_PROCESS_EXIT_REQUEST);
    request.sandbox_id = (char *)(uintptr_t)gateway->config->sandbox_id;
    request.instance_id = gateway->instance_id;
    request.exit_code = gateway->status;
    struct rpc_client_call *call =
        rpc_client_start(gateway->channel, GATEWAY_METHOD("ReportMainProcessExit"),
                         &openshell__v1__report_main_process_exit_response__descriptor,
                         osa_deadline_after(CALL_NS), /* wait_for_ready= */ false, &report->events);
    (void)rpc_client_send(call, &request.base);
    rpc_client_half_close(call);
}

static void on_retry(struct osa_timer *timer)
{
    send_report(OSA_CONTAINER_OF(timer, struct exit_report, retry));
}

static void on_message(struct rpc_client_events *events, const ProtobufCMessage *response)
{
    (void)events;
    (void)response;
}

static void on_done(struct rpc_client_events *events, const struct rpc_status *status)
{
    struct exit_report *report = OSA_CONTAINER_OF(events, struct exit_report, events);
    if (report->gateway->finishing)
        return;
    if (status->error.code == OSA_OK) {
        report->done(report->gateway);
        return;
    }
    osa_log_error(OSA_LOG_WARN, "gateway", "the exit cannot be reported; tried again",
                  &status->error, OSA_I("in_ms", report->wait_ns / OSA_NS_PER_MS));
    osa_timer_arm(report->gateway->program.loop, &report->retry,
                  osa_deadline_after(report->wait_ns));
    report->wait_ns = OSA_MIN(report->wait_ns * 2, (int64_t)MAX_NS);
}

void report_exit(struct gateway *gateway, void (*done)(struct gateway *gateway))
{
    struct exit_report *report = calloc(1, sizeof(*report));
    if (report == NULL)
        abort();
    report->gateway = gateway;
    report->done = done;
    report->events = (struct rpc_client_events){ .message = on_message, .done = on_done };
    report->retry.fire = on_retry;
    report->wait_ns = FIRST_NS;
    gateway->report = report;
    send_report(report);
}

void report_free(struct gateway *gateway)
{
    if (gateway->report == NULL)
        return;
    osa_timer_disarm(&gateway->report->retry);
    free(gateway->report);
    gateway->report = NULL;
}
