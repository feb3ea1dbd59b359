"""What the reasons of VPSs, sessions and keys mean, and what to do about them."""

from __future__ import annotations

from deploy.command.remedy import Remedy

OF_VPSES: tuple[Remedy, ...] = (
    Remedy(
        "`NotConnected`",
        "the VPS' account is not connected to DigitalOcean, or gives its connection up; a droplet "
        "that is there stays as it is, and goes on costing its owner",
        "its user connects at `/auth/do`, and it goes on by itself; one that is being deleted and "
        "whose user does not come back can be let go "
        '("A deletion that does not end"), and its droplet be destroyed in DigitalOcean\'s panel',
    ),
    Remedy(
        "`OtherTeam`",
        "the user has connected another of DigitalOcean's teams than the one in which the droplet "
        "is",
        "none: the user connects the former team again (the message has both), or the droplet is "
        "destroyed in DigitalOcean's panel and the VPS deleted by force",
    ),
    Remedy(
        "`ConnectionUnverified`, `TokenRenewed`",
        "the connection has new tokens, or is just being looked at",
        "none: a few seconds",
    ),
    Remedy(
        "`SizeUnknown`, `SizeNotInRegion`",
        "DigitalOcean does not offer the size, or not in that region; nothing was made",
        "as long as there is no droplet another one can be wished for: `kubectl patch vps NAME -n "
        'ACCOUNT --type=merge -p \'{"spec": {"size": "s-1vcpu-1gb", "region": "ams3"}}\'`',
    ),
    Remedy(
        "`DropletIsFixed`",
        "region, size or image are wished for otherwise than the droplet was made; power, gateway "
        "and sessions go on as ever",
        "wish for what it is (`status.droplet`), or make another VPS: a droplet does not move",
    ),
    Remedy(
        "`AgentsMissing`",
        "the VPS runs, and an agent that is wished for is not installed; the message has the "
        "gateway's words",
        "installed again whenever the gateway comes back (power the VPS off and on); or wish for "
        "it no more (`spec.agents`)",
    ),
    Remedy(
        "`CreateFailed`",
        "DigitalOcean took the order and could not make the droplet",
        "none: what came of it is destroyed, and a minute later another one is made",
    ),
    Remedy(
        "`ActionFailed`",
        "DigitalOcean could not carry out a power action",
        "tried again every 30 s; if it stays so, DigitalOcean's support has the number of the "
        "action (in the message)",
    ),
    Remedy(
        "`DropletArchived`",
        "DigitalOcean has archived the droplet: mostly unpaid bills",
        "none of ours: its user settles that with DigitalOcean; looked at again every 10 minutes",
    ),
    Remedy(
        "`Busy` (`UnderWay`)",
        "DigitalOcean is at work on the droplet",
        "none: looked at every few seconds; for longer than ten minutes it is `Stuck`",
    ),
    Remedy(
        "`Addressed` = False (`AwaitingAddress`, `AddressLate`)",
        "the droplet runs and has no public address yet; its gateway needs none",
        "none: they come late at times; after ten minutes look at DigitalOcean's panel",
    ),
    Remedy(
        "`ProvisioningTimeout`",
        "the droplet has run for ten minutes, and its gateway was never heard of; it costs its "
        "owner meanwhile",
        "it goes on being waited for and heals by itself; its user reads "
        "`/var/log/cloud-init-output.log` in DigitalOcean's recovery console, or deletes the VPS "
        "and makes another; if all new ones are like that, see [the runbook]"
        "(observability.md#a-droplets-gateway-does-not-come-up)",
    ),
    Remedy(
        "`Offline` (`Silent`)",
        "a gateway that was there is not connected, or has said nothing for three minutes; "
        "sessions go on in the droplet",
        "none: it comes back by itself; if not, power the VPS off and on, or look at "
        "`journalctl -u invoker-gateway` in DigitalOcean's recovery console; several at once: "
        "[the runbook](observability.md#gateways-are-away)",
    ),
    Remedy(
        "`GatewayAway`, `GatewayOffline`",
        "a session or a key waits for the gateway of its VPS, which is off, offline, or not up yet",
        "none: it goes on when the gateway is there; `invoker why vps NAME -n ACCOUNT` says what "
        "that waits for",
    ),
    Remedy(
        "`NoVps`",
        "a session or a key names a VPS that is not there, is being deleted, or was made anew "
        "under the same name",
        "delete it; it is not taken over to another VPS",
    ),
    Remedy(
        "`VpsIsFixed`",
        "a session or a key cannot be moved to another VPS",
        "name the former one again in `spec.vps` (the message has it), or delete it and make "
        "another",
    ),
    Remedy(
        "`Failed`",
        "the gateway does not begin the session; the message has its words, such as a directory or "
        "an agent that is not there",
        "correct the wish (`spec.workdir`, `spec.agentType`): it is tried again at once, and "
        "whenever the gateway comes back",
    ),
    Remedy(
        "`Expired`",
        "the key's time is over; one of support ends 24 hours after it was made at the latest",
        "none: delete it; whoever shall come in again needs a new one, and a user's own key can be "
        "given another `spec.expiresAt`",
    ),
    Remedy(
        "`Ended`",
        "the session's program has returned, or it was ended; it is not begun again",
        "none: delete it, and make another one",
    ),
    Remedy(
        "`CommandRefused`",
        "the gateway does not let a key in, does not take one away, or does not end a session; the "
        "message has its words",
        "a key is tried again when its row is edited or the gateway comes back, the rest by "
        "itself; `journalctl -u invoker-gateway` on the droplet has more",
    ),
    Remedy(
        "`HubUnreachable`, `CommandUnknown`, `CommandFailed`",
        "the hub of the gateways cannot be reached, or a command's answer was lost on its way",
        "none: the same command is sent again and is done once; for longer, see whether the edge "
        "answers, and `INVOKER_EDGE_URL`",
    ),
    Remedy(
        "`GatewaySlow`",
        "the gateway is connected and takes seconds to answer, or does not; it is left alone for "
        "up to a minute, so that nobody else waits for it",
        "none: it is asked again by itself; for longer, see `journalctl -u invoker-gateway` and "
        "the load on the droplet, or power it off and on",
    ),
    Remedy(
        "`HubRefusesToken`",
        "the hub of the gateways does not take the control plane's token",
        "`INVOKER_EDGE_TOKEN` must be the same for API, controllers and Worker; looked at again "
        "every minute",
    ),
    Remedy(
        "`AlreadyInState`, `UnknownKey`",
        "DigitalOcean's parts do not agree yet",
        "none: tried again within seconds",
    ),
)
